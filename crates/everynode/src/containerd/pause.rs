//! The sandbox image: one program of 151 bytes that holds a pod's namespaces.
//!
//! Made here, so that a machine without any registry can run pods. The program ignores `SIGCHLD`
//! (as process 1 of a pod it thereby reaps orphans) and sleeps until it is killed.

use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::json;

/// The image's name, as the private containerd's configuration has it.
pub(crate) const IMAGE: &str = "localhost/pause:1";

/// A complete x86-64 ELF executable: header, one loadable segment at 0x400000, and the code
/// `rt_sigaction(SIGCHLD, {SIG_IGN}, NULL, 8); for (;;) pause();`.
const PROGRAM_X86_64: &[u8] = &[
    0x7f, 0x45, 0x4c, 0x46, 0x02, 0x01, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0x3e, 0, 0x01, 0, 0, 0, 0x78, 0,
    0x40, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0x38, 0, 0x01, 0, 0,
    0, 0, 0, 0, 0, 0x01, 0, 0, 0, 0x05, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0,
    0, 0, 0, 0x97, 0, 0, 0, 0, 0, 0, 0, 0x97, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0, 0x31, 0xc0, 0x50, 0x50,
    0x50, 0x6a, 0x01, 0x48, 0x89, 0xe6, 0x31, 0xd2, 0x6a, 0x08, 0x41, 0x5a, 0x6a, 0x11, 0x5f, 0x6a, 0x0d, 0x58, 0x0f,
    0x05, 0x6a, 0x22, 0x58, 0x0f, 0x05, 0xeb, 0xf9,
];

/// Imports the image into the containerd behind `socket`, once per data directory.
pub(crate) async fn import(directory: &Path, socket: &Path) -> anyhow::Result<()> {
    let mark = directory.join("pause.imported");
    if mark.exists() {
        return Ok(());
    }
    ensure!(
        cfg!(target_arch = "x86_64"),
        "this build carries no sandbox program for this processor: import an image named {IMAGE} with `ctr -n k8s.io images import`, then create {}",
        mark.display()
    );
    let archive = directory.join("pause.tar");
    std::fs::write(&archive, image_archive(PROGRAM_X86_64))
        .with_context(|| format!("cannot write {}", archive.display()))?;
    let output = tokio::process::Command::new("ctr")
        .arg("-a")
        .arg(socket)
        .args(["-n", "k8s.io", "images", "import"])
        .arg(&archive)
        .output()
        .await
        .context("cannot run ctr, which belongs to containerd")?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cannot import the sandbox image: {}", words.trim());
    std::fs::write(&mark, "").with_context(|| format!("cannot write {}", mark.display()))?;
    let _ = std::fs::remove_file(archive);
    Ok(())
}

/// An OCI image archive (OCI image-spec 1.0: `oci-layout`, `index.json`, `blobs/sha256/…`).
fn image_archive(program: &[u8]) -> Vec<u8> {
    let layer = tar(&[("pause", 0o755, program)]);
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "config": { "Entrypoint": ["/pause"] },
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
    })
    .to_string();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", config.as_bytes()),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", &layer)],
    })
    .to_string();
    let mut named = descriptor("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes());
    named["annotations"] = json!({ "io.containerd.image.name": IMAGE, "org.opencontainers.image.ref.name": "1" });
    let index = json!({ "schemaVersion": 2, "manifests": [named] }).to_string();
    let blob = |content: &[u8]| format!("blobs/sha256/{}", &digest(content)["sha256:".len()..]);
    tar(&[
        ("oci-layout", 0o644, br#"{"imageLayoutVersion":"1.0.0"}"#),
        ("index.json", 0o644, index.as_bytes()),
        (&blob(&layer), 0o644, &layer),
        (&blob(config.as_bytes()), 0o644, config.as_bytes()),
        (&blob(manifest.as_bytes()), 0o644, manifest.as_bytes()),
    ])
}

fn descriptor(media_type: &str, content: &[u8]) -> serde_json::Value {
    json!({ "mediaType": media_type, "digest": digest(content), "size": content.len() })
}

fn digest(content: &[u8]) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, content);
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// A ustar archive of plain files (POSIX.1-1988 header of 512 bytes, content padded to 512).
fn tar(files: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut archive = Vec::new();
    for (name, mode, content) in files {
        archive.extend(tar_header(name, *mode, content.len()));
        archive.extend(*content);
        archive.resize(archive.len().next_multiple_of(512), 0);
    }
    archive.resize(archive.len() + 1024, 0);
    archive
}

fn tar_header(name: &str, mode: u32, size: usize) -> [u8; 512] {
    let mut header = [0u8; 512];
    let mut put = |offset: usize, text: &str| header[offset..offset + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, &format!("{mode:07o}"));
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    put(148, "        "); // the checksum counts as blanks
    put(156, "0");
    put(257, "ustar");
    put(263, "00");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_is_one_that_tar_reads() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("image.tar");
        std::fs::write(&path, image_archive(PROGRAM_X86_64)).unwrap();
        let listed = std::process::Command::new("tar").arg("tf").arg(&path).output().unwrap();
        let names = String::from_utf8(listed.stdout).unwrap();
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        assert_eq!(names.lines().filter(|name| name.starts_with("blobs/sha256/")).count(), 3);
        assert_eq!(PROGRAM_X86_64.len(), 151);
    }
}
