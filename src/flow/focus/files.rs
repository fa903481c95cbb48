//! Charges in the vocabulary of FOCUS, written into a file while the book is read.

use super::{Exported, Wish};
use crate::flow::Farthing;
use crate::flow::export::files::ExportError;
use crate::focus::{Row, Version, csv};
use crate::id::Org;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use tokio::sync::mpsc;

impl Farthing {
    /// As CSV; `told` is told how many rows were written each time.
    pub async fn focus_as_csv(
        &self,
        org: Org,
        wish: &Wish,
        version: Version,
        path: &Path,
        told: impl Fn(u64),
    ) -> Result<Exported, ExportError> {
        let unwritable = |source| ExportError::File { doing: "write", path: path.to_owned(), source };
        let mut file = BufWriter::with_capacity(1 << 20, File::create(path).map_err(unwritable)?);
        let (to, mut rows) = mpsc::channel::<Vec<Row>>(4);
        let writing = async {
            let mut text = csv::header(version);
            file.write_all(text.as_bytes())?;
            while let Some(some) = rows.recv().await {
                text.clear();
                csv::write(&some, version, &mut text);
                // A disk may be slow, which others should not wait for.
                tokio::task::block_in_place(|| file.write_all(text.as_bytes()))?;
                told(some.len() as u64);
            }
            file.flush()
        };
        let writing = async { writing.await.map_err(unwritable) };
        let reading = async { self.focus(org, wish, to).await.map_err(ExportError::from) };
        let (exported, ()) = tokio::try_join!(reading, writing)?;
        Ok(exported)
    }

    #[cfg(feature = "polars")]
    pub async fn focus_as_parquet(&self, org: Org, wish: &Wish, version: Version, path: &Path) -> Result<Exported, ExportError> {
        use crate::frame::focus::{Writer, write_received};
        let unwritable =
            |e: String| ExportError::File { doing: "write", path: path.to_owned(), source: std::io::Error::other(e) };
        let writer = Writer::new(path, version).map_err(|e| unwritable(e.to_string()))?;
        let (to, rows) = mpsc::channel(4);
        let writing = tokio::task::spawn_blocking(move || write_received(rows, writer));
        let exported = self.focus(org, wish, to).await;
        // If writing broke off, that is why reading did.
        writing.await.map_err(|e| unwritable(e.to_string()))?.map_err(|e| unwritable(e.to_string()))?;
        Ok(exported?)
    }

    #[cfg(not(feature = "polars"))]
    pub async fn focus_as_parquet(&self, _: Org, _: &Wish, _: Version, _: &Path) -> Result<Exported, ExportError> {
        Err(ExportError::Refused("this farthing was built without Parquet (the feature polars)".to_owned()))
    }
}
