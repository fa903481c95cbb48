//! Where an embedded database may lie. Its write-ahead log is shared memory between processes and its locks are the
//! kernel's; over a network neither holds, and two processes would write over each other without a word. Such a place is
//! refused before the first byte is written.

use crate::store::StoreError;
use std::path::{Path, PathBuf};

/// File systems that other machines serve, as the kernel calls them.
const OF_NETWORKS: [&str; 20] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "afs",
    "ceph",
    "glusterfs",
    "lustre",
    "beegfs",
    "gpfs",
    "davfs",
    "fuse.sshfs",
    "fuse.glusterfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.gcsfuse",
    "fuse.goofys",
    "fuse.juicefs",
];

/// Refuses a place that another machine serves. Where the kernel does not tell what is mounted, nothing is known and nothing
/// is refused.
pub(super) fn must_be_local(file: &Path) -> Result<(), StoreError> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Ok(folder), Ok(mounts)) = (folder.canonicalize(), std::fs::read_to_string("/proc/self/mountinfo")) else {
        return Ok(());
    };
    match file_system(&folder, &mounts).filter(|kind| OF_NETWORKS.contains(kind)) {
        Some(kind) => Err(StoreError::NetworkFile { path: file.display().to_string(), kind: kind.to_owned() }),
        None => Ok(()),
    }
}

/// The kind of the file system that a folder is in: that of the longest mount point above it, the last one where several
/// are mounted over each other.
fn file_system<'m>(folder: &Path, mounts: &'m str) -> Option<&'m str> {
    let mounted = mounts.lines().filter_map(|line| {
        let (mount, source) = line.split_once(" - ")?;
        Some((plain(mount.split(' ').nth(4)?), source.split(' ').next()?))
    });
    let above = mounted.filter(|(point, _)| folder.starts_with(point));
    above.max_by_key(|(point, _)| point.components().count()).map(|(_, kind)| kind)
}

/// A mount point as it is: spaces and the like are written as `\040`.
fn plain(point: &str) -> PathBuf {
    let mut plain = String::with_capacity(point.len());
    let mut rest = point;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(code.map_or('\\', char::from));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    plain.push_str(rest);
    PathBuf::from(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:30 / /data rw,noatime - nfs4 server:/export rw,vers=4.2
31 30 0:31 / /data/local rw - xfs /dev/vdb rw
32 22 0:32 / /mnt/my\\040share rw - cifs //server/share rw
";

    #[test]
    fn the_nearest_mount_decides() {
        let kind = |folder: &str| file_system(Path::new(folder), MOUNTS);
        assert_eq!(kind("/var/lib"), Some("ext4"));
        assert_eq!(kind("/data/farthing"), Some("nfs4"));
        assert_eq!(kind("/data/local/farthing"), Some("xfs"));
        assert_eq!(kind("/database"), Some("ext4"), "a name that only begins alike is another folder");
        assert_eq!(kind("/mnt/my share"), Some("cifs"));
    }

    #[test]
    fn a_local_place_is_taken() {
        assert!(must_be_local(&std::env::temp_dir().join("x.db")).is_ok());
        assert!(must_be_local(Path::new("x.db")).is_ok());
    }
}
