//! `everynode store`: the database of a server that does not run.

use clap::{Args, Subcommand};

use super::{DataArgs, Output};

#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    pub(crate) verb: StoreVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreVerb {
    /// Read the whole store, say what is damaged or lost, and change nothing
    Verify(VerifyArgs),
    /// Make a sound store of what can still be read; the rest is lost
    Repair(RepairArgs),
    /// After a backup was put back: let revisions go on beyond all that clients can have seen, so
    /// that they list again
    Restored(RestoredArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RestoredArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "EXIT CODES\n\
    \x20 0  sound\n\
    \x20 3  in use, not there, or not readable at all\n\
    \x20 7  damaged: what is wrong and what is lost is printed\n\n\
    The server must be stopped. So must it be for a backup of the data directory, which can be verified the same way.")]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    #[arg(short, long, value_enum, default_value_t = Output::Text, help = "The form of the answer")]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
#[command(after_help = "EXIT CODES\n\
    \x20 0  repaired, or it was sound and nothing was changed\n\
    \x20 3  in use, not there, or not readable at all\n\
    \x20 7  damaged, and --accept-loss was not given: nothing was changed\n\n\
    A backup is better. Revisions go on beyond all that may have been issued, clients list again, and the damaged files\n\
    are kept in DATA_DIR/store/damaged-N.")]
pub(crate) struct RepairArgs {
    #[command(flatten)]
    pub(crate) data: DataArgs,
    /// Go on without what cannot be read
    #[arg(long)]
    pub(crate) accept_loss: bool,
}
