//! Cluster text to [`crate::Seen`], plans to text.
