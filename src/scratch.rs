//! A directory of one's own for files that are on their way elsewhere: nobody else can read or guess it, and it goes with its
//! owner. Of an owner who was killed it stays; whoever starts next clears it away, which a locked file in it keeps anybody
//! from doing while the owner lives.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub struct Scratch {
    path: PathBuf,
    /// Locked for as long as it is open, which no kill outlives.
    _owner: File,
}

impl Scratch {
    pub fn new() -> io::Result<Scratch> {
        Scratch::below(&std::env::temp_dir())
    }

    fn below(directory: &Path) -> io::Result<Scratch> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let path = directory.join(format!("{PREFIX}{:032x}", u128::from_be_bytes(random)));
        let mut directory = fs::DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut directory, 0o700);
        directory.create(&path)?;
        let owner = File::create(path.join(OWNER))?;
        // Where files cannot be locked nothing is cleared away either.
        let _ = owner.lock();
        Ok(Scratch { path, _owner: owner })
    }

    /// A file in it.
    pub fn file(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

const PREFIX: &str = "farthing-";
const OWNER: &str = ".owner";
/// What is younger may be about to be locked.
const YOUNG: Duration = Duration::from_secs(600);

/// Removes what owners left behind that were killed; says how many directories these were.
pub fn clear_abandoned() -> io::Result<usize> {
    clear_below(&std::env::temp_dir(), YOUNG)
}

fn clear_below(directory: &Path, young: Duration) -> io::Result<usize> {
    let mut cleared = 0;
    for entry in fs::read_dir(directory)?.flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).is_some_and(is_random);
        if is_ours && is_abandoned(&entry.path(), young) && fs::remove_dir_all(entry.path()).is_ok() {
            cleared += 1;
        }
    }
    Ok(cleared)
}

fn is_random(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_abandoned(path: &Path, young: Duration) -> bool {
    let age =
        fs::symlink_metadata(path).and_then(|about| about.modified()).map(|modified| modified.elapsed().unwrap_or_default());
    if age.is_ok_and(|age| age < young) {
        return false;
    }
    match File::open(path.join(OWNER)) {
        Ok(owner) => owner.try_lock().is_ok(),
        Err(e) => e.kind() == io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_owner_left_behind_is_cleared_away_and_nothing_else() {
        let place = Scratch::new().unwrap();
        let place = &place.path;
        let (alive, killed) = (Scratch::below(place).unwrap(), Scratch::below(place).unwrap());
        fs::write(killed.file("half"), b"half").unwrap();
        // A kill closes the file and removes nothing.
        let (left, owner) = {
            let killed = std::mem::ManuallyDrop::new(killed);
            (killed.path.clone(), killed._owner.try_clone().unwrap())
        };
        owner.unlock().unwrap();
        let others = place.join("farthing-books");
        fs::create_dir(&others).unwrap();
        assert_eq!(clear_below(place, YOUNG).unwrap(), 0, "it may be about to be locked");
        assert!(left.exists());
        assert_eq!(clear_below(place, Duration::ZERO).unwrap(), 1);
        assert!(!left.exists() && alive.path.exists() && others.exists());
    }
}
