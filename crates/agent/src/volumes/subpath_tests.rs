use super::super::testkit::{Scratch, in_mount_namespace, read};
use super::*;
use std::os::unix::fs::symlink;

fn bind_in(scratch: &Scratch, sub: &str) -> io::Result<PathBuf> {
    let target = scratch.path("targets/c/0");
    bind(&scratch.path("volume"), Path::new(sub), &target).map(|()| target)
}

#[test]
fn beneath_the_volume_only() {
    in_mount_namespace(module_path!(), "beneath_the_volume_only", || {
        // DS-H35
        let scratch = Scratch::new("subpath");
        let volume = scratch.path("volume");
        fs::create_dir_all(volume.join("dir")).unwrap();
        fs::write(volume.join("dir/file"), "inside").unwrap();
        fs::write(scratch.path("secret"), "outside").unwrap();
        symlink("dir", volume.join("link")).unwrap();
        symlink("../secret", volume.join("out")).unwrap();
        symlink("/etc", volume.join("absolute")).unwrap();
        symlink("/proc/self/root", volume.join("magic")).unwrap();

        assert_eq!(read(&bind_in(&scratch, "link/file").unwrap()), "inside");
        // Another kind of target, over the earlier bind.
        assert_eq!(read(&bind_in(&scratch, "dir").unwrap().join("file")), "inside");
        for sub in ["out", "absolute", "absolute/passwd", "magic/etc", "absolute/new", "../secret"] {
            assert!(bind_in(&scratch, sub).is_err(), "{sub}");
        }
        assert!(!Path::new("/etc/new").exists());
    });
}

#[test]
fn missing_directories_get_the_mode_of_the_volume() {
    in_mount_namespace(module_path!(), "missing_directories_get_the_mode_of_the_volume", || {
        // DS-H35, as the kubelet does it: a user that may write to the volume may write to it.
        let scratch = Scratch::new("subpath-new");
        let volume = scratch.path("volume");
        fs::create_dir(&volume).unwrap();
        fs::set_permissions(&volume, fs::Permissions::from_mode(0o3777)).unwrap();
        let target = bind_in(&scratch, "a/b").unwrap();
        fs::write(target.join("f"), "1").unwrap();
        assert_eq!(read(&volume.join("a/b/f")), "1");
        for made in ["a", "a/b"] {
            assert_eq!(fs::metadata(volume.join(made)).unwrap().mode() & 0o7777, 0o3777, "sticky, of the group");
        }
        symlink("nowhere", volume.join("dangling")).unwrap();
        assert!(bind_in(&scratch, "dangling").is_err());
        assert!(bind_in(&scratch, "a/b/f/below").is_err(), "a file is no directory");
    });
}
