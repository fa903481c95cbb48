//! Backup of an embedded database, while others write to it: a consistent copy is written under another name, its newest
//! blocks are verified, it is on the disk, and only then it gets its name. What has the name is whole.

use crate::flow::{Farthing, FlowError, now};
use crate::id::BlockNumber;
use crate::ledger::seal::BlockHash;
use crate::store::StoreOptions;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

/// What was copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackedUp {
    pub bytes: u64,
    /// Where each book stands in the copy.
    pub heads: Vec<(String, BlockNumber, BlockHash)>,
}

/// Blocks before the head that are verified before a copy gets its name; all of them are `farthing verify`'s business.
const NEWEST: i64 = 200;

impl Farthing {
    /// Copies the database. A file that is there already is not overwritten.
    pub async fn back_up(&self, to: &Path) -> Result<BackedUp, FlowError> {
        let there = || FlowError::Refused(format!("{} is there already and is not overwritten", to.display()));
        if to.symlink_metadata().is_ok() {
            return Err(there());
        }
        let partial = partial(to);
        let backed_up = async {
            // It holds the hashes of keys: nobody else is to read it.
            make_private(&partial).map_err(|e| failed(&partial, &e))?;
            self.store.copy_into(&partial).await?;
            let heads = self.check_copy(&partial).await?;
            let bytes = sync(&partial).map_err(|e| failed(&partial, &e))?;
            match std::fs::hard_link(&partial, to) {
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => return Err(there()),
                linked => linked.map_err(|e| failed(to, &e))?,
            }
            Ok(BackedUp { bytes, heads })
        }
        .await;
        // With its name or without, the other one goes.
        let removed = std::fs::remove_file(&partial).and_then(|()| sync(&folder(to)).map(drop));
        let backed_up = backed_up?;
        removed.map_err(|e| failed(&partial, &e))?;
        Ok(backed_up)
    }

    /// The newest blocks of every book fit, and each head is one that this book has too.
    async fn check_copy(&self, file: &Path) -> Result<Vec<(String, BlockNumber, BlockHash)>, FlowError> {
        let options = StoreOptions {
            url: format!("sqlite://{}", file.display()),
            allow_fsync_off: false,
            connections: 1,
            run_keys: crate::store::RUN_KEYS,
        };
        let copy = Farthing::open_read_only(&options).await?;
        let mut heads = Vec::new();
        for (org, name) in copy.store.orgs().await? {
            let head = copy.store.head(org).await?;
            let verified = copy.verify_newest(org, NEWEST).await?;
            let same = head.block.0 == 0 || self.store.block_hash(org, head.block).await? == Some(head.hash);
            match verified {
                Ok(_) if same => heads.push((name, head.block, head.hash)),
                Ok(_) => {
                    return Err(FlowError::Refused(format!("the copy of {name} ends in a block that its book does not have")));
                }
                Err(broken) => {
                    let why = format!("the copy of {name} is broken at block {}: {}", broken.block, broken.why);
                    return Err(FlowError::Refused(why));
                }
            }
        }
        copy.store.close().await;
        Ok(heads)
    }
}

fn partial(to: &Path) -> PathBuf {
    let name = to.file_name().map_or_else(|| "backup".into(), |name| name.to_string_lossy().into_owned());
    to.with_file_name(format!(".{name}.{}-{}.partial", std::process::id(), now().micros()))
}

fn folder(of: &Path) -> PathBuf {
    of.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

fn make_private(file: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).map(drop)
}

/// Waits until the disk has it, and says how large it is.
fn sync(file: &Path) -> std::io::Result<u64> {
    let file = File::open(file)?;
    file.sync_all()?;
    Ok(file.metadata()?.len())
}

fn failed(file: &Path, e: &std::io::Error) -> FlowError {
    FlowError::Refused(format!("cannot write {}: {e}", file.display()))
}
