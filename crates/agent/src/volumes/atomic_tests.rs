use super::super::testkit::{Scratch, read};
use super::*;

fn payload(files: &[(&str, &str, u32)]) -> Payload {
    files.iter().map(|(path, data, mode)| ((*path).to_owned(), File::new(data.as_bytes().to_vec(), *mode))).collect()
}

/// As [`super::write`], of a volume that nothing is mounted in.
fn write(dir: &Path, files: &Payload, group: Option<u32>, now: Timestamp) -> io::Result<bool> {
    super::write(dir, &Content { files, mount_points: &BTreeSet::new(), group }, now)
}

fn now(second: u8) -> Timestamp {
    format!("2026-11-21T01:02:{second:02}.000000005Z").parse().unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn links_into_a_version_that_is_swapped() {
    // DS-H33
    let scratch = Scratch::new("atomic");
    let dir = scratch.path("");
    assert!(write(&dir, &payload(&[("a", "1", 0o644), ("sub/b", "2", 0o400)]), None, now(3)).unwrap());
    assert_eq!(names(&dir), ["..2026_11_21_01_02_03.000000005", "..data", "a", "sub"]);
    assert_eq!(fs::read_link(dir.join("a")).unwrap(), Path::new("..data/a"));
    assert_eq!(fs::read_link(dir.join("sub")).unwrap(), Path::new("..data/sub"));
    assert_eq!(fs::read_link(dir.join("..data")).unwrap(), Path::new("..2026_11_21_01_02_03.000000005"));
    assert_eq!((read(&dir.join("a")), read(&dir.join("sub/b"))), ("1".into(), "2".into()));
    assert_eq!(fs::metadata(dir.join("sub/b")).unwrap().mode() & 0o777, 0o400);

    let link = fs::symlink_metadata(dir.join("a")).unwrap().ino();
    assert!(write(&dir, &payload(&[("a", "new", 0o644), ("c", "3", 0o644)]), None, now(4)).unwrap());
    assert_eq!(names(&dir), ["..2026_11_21_01_02_04.000000005", "..data", "a", "c"]);
    assert_eq!(read(&dir.join("a")), "new");
    assert_eq!(fs::symlink_metadata(dir.join("a")).unwrap().ino(), link, "the name itself is not touched");
}

#[test]
fn the_same_content_is_not_written_again() {
    let scratch = Scratch::new("atomic-same");
    let dir = scratch.path("");
    let files = [("a", "1", 0o644)];
    assert!(write(&dir, &payload(&files), None, now(1)).unwrap());
    let version = fs::read_link(dir.join(DATA)).unwrap();
    assert!(!write(&dir, &payload(&files), None, now(2)).unwrap());
    assert_eq!(fs::read_link(dir.join(DATA)).unwrap(), version);
    for other in [&[("a", "2", 0o644)][..], &[("a", "2", 0o600)], &[("b", "2", 0o600)], &[]] {
        assert!(write(&dir, &payload(other), None, now(3)).unwrap(), "{other:?}");
    }
    assert_eq!(names(&dir).iter().filter(|name| !name.starts_with("..")).count(), 0);
}

#[test]
fn an_interrupted_write_is_cleaned_up() {
    let scratch = Scratch::new("atomic-crash");
    let dir = scratch.path("");
    write(&dir, &payload(&[("a", "1", 0o644)]), None, now(1)).unwrap();
    // A crash between writing a version and the swap; and a name whose link is missing.
    fs::create_dir(dir.join("..2026_11_21_01_02_09.1")).unwrap();
    symlink("..2026_11_21_01_02_09.1", dir.join(DATA_TMP)).unwrap();
    fs::remove_file(dir.join("a")).unwrap();
    assert!(write(&dir, &payload(&[("a", "2", 0o644)]), None, now(9)).unwrap());
    assert_eq!(names(&dir), ["..2026_11_21_01_02_09.000000005", "..data", "a"]);
    assert_eq!(read(&dir.join("a")), "2");
}

#[test]
fn the_group_owns_and_reads() {
    // DS-H36
    let scratch = Scratch::new("atomic-group");
    let dir = scratch.path("v");
    fs::create_dir(&dir).unwrap();
    let files = payload(&[("sub/a", "1", 0o600)]);
    assert!(write(&dir, &files, Some(2000), now(1)).unwrap());
    let file = fs::metadata(dir.join("sub/a")).unwrap();
    assert_eq!((file.gid(), file.mode() & 0o7777), (2000, 0o640));
    let root = fs::metadata(&dir).unwrap();
    assert_eq!((root.gid(), root.mode() & 0o2550), (2000, 0o2550));
    assert!(!write(&dir, &files, Some(2000), now(2)).unwrap(), "nothing changed");
}

#[test]
fn mount_points_are_there_and_stay() {
    let scratch = Scratch::new("mount-points");
    let dir = scratch.path("");
    let mount_points = &["inner/deep", "sub/new", "a", "gone/x"].map(PathBuf::from).into();
    let mut made = None;
    for (second, files) in [(3, &[("a", "1", 0o644), ("sub/b", "2", 0o644), ("c", "3", 0o644)][..]), (4, &[])] {
        let files = &payload(files);
        super::write(&dir, &Content { files, mount_points, group: None }, now(second)).unwrap();
        assert_eq!((dir.join("a").is_file(), dir.join("c").exists()), (second == 3, second == 3));
        let inodes = ["inner/deep", "sub/new", "gone/x"].map(|point| fs::metadata(dir.join(point)).unwrap().ino());
        assert_eq!(*made.get_or_insert(inodes), inodes, "a directory that something is mounted on is never replaced");
    }
    assert!(dir.join("a").is_dir());
    assert_eq!(fs::metadata(dir.join("inner")).unwrap().mode() & 0o777, 0o755);
}
