//! A database for one test. SQLite lives in a temporary directory; for PostgreSQL a database is made in the server that
//! `FARTHING_TEST_POSTGRES_URL` names (`make test` starts one), and dropped afterwards.

use farthing::store::StoreOptions;
use sqlx::{Connection, Executor, PgConnection};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub struct TestDatabase {
    pub url: String,
    cleanup: Cleanup,
}

enum Cleanup {
    Directory(PathBuf),
    Database { server: String, name: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

static COUNTER: AtomicU32 = AtomicU32::new(0);

fn unique() -> String {
    format!("{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed))
}

impl TestDatabase {
    pub fn new(kind: Kind) -> TestDatabase {
        match kind {
            Kind::Sqlite => TestDatabase::sqlite(),
            Kind::Postgres => TestDatabase::postgres(),
        }
    }

    pub fn sqlite() -> TestDatabase {
        let directory = std::env::temp_dir().join(format!("farthing-test-{}", unique()));
        std::fs::create_dir_all(&directory).unwrap();
        let url = format!("sqlite://{}", directory.join("farthing.db").display());
        TestDatabase { url, cleanup: Cleanup::Directory(directory) }
    }

    /// Where a test of SQLite may put files of its own.
    pub fn directory(&self) -> &Path {
        match &self.cleanup {
            Cleanup::Directory(directory) => directory,
            Cleanup::Database { .. } => panic!("PostgreSQL has its files elsewhere"),
        }
    }

    pub fn postgres() -> TestDatabase {
        let server = std::env::var("FARTHING_TEST_POSTGRES_URL")
            .expect("the tests need a PostgreSQL: `make test` starts one, or name one by FARTHING_TEST_POSTGRES_URL");
        let name = format!("farthing_test_{}", unique());
        block_on(async {
            let mut connection = PgConnection::connect(&server).await.expect("FARTHING_TEST_POSTGRES_URL leads to no server");
            let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
            connection.execute(create).await.unwrap();
        });
        let (start, options) = server.split_once('?').unwrap_or((&server, ""));
        let place = start.rsplit_once('/').map_or(start, |(place, _)| place);
        let url = format!("{place}/{name}{}{options}", if options.is_empty() { "" } else { "?" });
        TestDatabase { url, cleanup: Cleanup::Database { server, name } }
    }

    pub fn options(&self) -> StoreOptions {
        StoreOptions { url: self.url.clone(), allow_fsync_off: true, connections: 4, run_keys: 500 }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        match &self.cleanup {
            Cleanup::Directory(directory) => drop(std::fs::remove_dir_all(directory)),
            Cleanup::Database { server, name } => {
                let (server, name) = (server.clone(), name.clone());
                // A test may panic inside of a runtime, and a runtime cannot be started inside of another.
                let dropped = std::thread::spawn(move || {
                    block_on(async {
                        if let Ok(mut connection) = PgConnection::connect(&server).await {
                            let drop = sqlx::AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
                            let _ = connection.execute(drop).await;
                        }
                    });
                });
                let _ = dropped.join();
            }
        }
    }
}

pub fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future)
}
