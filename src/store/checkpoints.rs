//! Checkpoints of SQLite's write-ahead log: what was committed goes from the log into the file on a connection of its own, while
//! others commit. Left to itself SQLite makes whoever commits do that every so often, and everybody waits who commits then. The
//! writer still begins the log anew when it has become long; by then little is left to be done for it.

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;

/// So many pages of the log are worth a visit to the disk.
const WORTH_IT: usize = 1_000;
/// About what each commit changes, and how many rows a page has room for.
const PAGES_OF_A_COMMIT: usize = 16;
const ROWS_OF_A_PAGE: usize = 4;

pub(super) struct Checkpoints {
    pool: SqlitePool,
    /// Pages since the last one, about.
    changed: AtomicUsize,
    due: mpsc::Sender<()>,
}

impl Checkpoints {
    pub fn start(file: SqliteConnectOptions) -> Checkpoints {
        let file = file.thread_name(|_| "sqlite-checkpoints".to_owned());
        let pool = SqlitePoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None).connect_lazy_with(file);
        let (due, mut told) = mpsc::channel(1);
        let to = pool.clone();
        tokio::spawn(async move {
            while told.recv().await.is_some() && !to.is_closed() {
                // It takes what no reader needs any more and waits for nobody; what is left is taken the next time.
                if let Err(error) = sqlx::raw_sql("PRAGMA wal_checkpoint(PASSIVE)").execute(&to).await {
                    tracing::debug!(%error, "no checkpoint could be made beside the writer, who makes one in time");
                }
            }
        });
        Checkpoints { pool, changed: AtomicUsize::new(0), due }
    }

    /// A commit of so many rows went into the log.
    pub fn committed(&self, rows: usize) {
        let pages = PAGES_OF_A_COMMIT + rows / ROWS_OF_A_PAGE;
        if self.changed.fetch_add(pages, Ordering::Relaxed) + pages >= WORTH_IT {
            self.changed.store(0, Ordering::Relaxed);
            // One that is due already is made of this commit as well.
            let _ = self.due.try_send(());
        }
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}
