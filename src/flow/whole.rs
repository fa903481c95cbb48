//! Files that appear whole: written under another name, brought to the disk, and only then given their own.

use std::fs::File;
use std::io;
use std::path::Path;

/// A file to be filled that nobody else fills at the same time; what a run left there that broke off is gone.
pub fn alone(path: &Path) -> io::Result<File> {
    let file = File::options().write(true).create(true).truncate(false).open(path)?;
    file.try_lock().map_err(|_| io::Error::new(io::ErrorKind::ResourceBusy, "somebody else writes it right now"))?;
    file.set_len(0)?;
    Ok(file)
}

/// Gives a file that is complete its name, for good.
pub fn appear(file: &File, unfinished: &Path, path: &Path) -> io::Result<()> {
    file.sync_all()?;
    std::fs::rename(unfinished, path)?;
    to_disk(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))
}

/// A name is on the disk when its directory is.
pub fn to_disk(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}
