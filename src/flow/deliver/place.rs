//! Where deliveries go: a directory of this machine, or a bucket. Nobody ever finds half a file: in a directory a file is
//! written beside its place, brought to the disk and renamed; a bucket shows an object when all of it is there. What may be
//! large is a [`Draft`] first, a file that is written little by little: in a directory at its place under a hidden name, for a
//! bucket on this machine, from where it is sent in parts.

use super::in_hexadecimal;
use crate::flow::whole::{appear, to_disk};
use crate::report::delivery::Destination;
#[cfg(feature = "s3")]
use crate::scratch::Scratch;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

pub enum Place {
    Directory(PathBuf),
    #[cfg(feature = "s3")]
    Bucket(bucket::Bucket),
}

impl Place {
    pub fn open(destination: &Destination) -> Result<Place, String> {
        match destination {
            Destination::Directory(path) => Ok(Place::Directory(PathBuf::from(path))),
            #[cfg(feature = "s3")]
            Destination::Bucket { bucket, prefix } => bucket::Bucket::open(bucket, prefix).map(Place::Bucket),
            #[cfg(not(feature = "s3"))]
            Destination::Bucket { .. } => Err("this farthing was built without S3 (the feature s3)".to_owned()),
        }
    }

    /// Writes a file whole or not at all; one of this name is replaced.
    pub async fn put(&self, directory: &str, name: &str, bytes: Vec<u8>, attempt: i64) -> Result<(), String> {
        match self {
            Place::Directory(root) => {
                let unwritable = format!("cannot write {name} below {}", root.join(directory).display());
                let (root, directory, name) = (root.clone(), directory.to_owned(), name.to_owned());
                aside(unwritable, move || put(&root, &directory, &name, &bytes, attempt)).await
            }
            #[cfg(feature = "s3")]
            Place::Bucket(bucket) => bucket.put(&format!("{directory}/{name}"), bytes).await,
        }
    }

    /// A file to be written, which nobody sees until it is published.
    pub async fn draft(&self, directory: &str, name: &str, attempt: i64) -> Result<Draft, String> {
        match self {
            Place::Directory(root) => {
                let unwritable = |e: io::Error| format!("cannot write {name} below {}: {e}", root.join(directory).display());
                let path = room_for(root, directory).map_err(unwritable)?;
                clear_earlier(&path, name, attempt).map_err(unwritable)?;
                Ok(Draft {
                    path: path.join(unfinished(name, attempt)),
                    #[cfg(feature = "s3")]
                    _scratch: None,
                })
            }
            #[cfg(feature = "s3")]
            Place::Bucket(_) => {
                let scratch = Scratch::new().map_err(|e| format!("cannot write {name}: {e}"))?;
                Ok(Draft { path: scratch.file(name), _scratch: Some(scratch) })
            }
        }
    }

    /// Lets a draft be seen under its name; one of this name is replaced.
    pub async fn publish(&self, draft: Draft, directory: &str, name: &str) -> Result<(), String> {
        match self {
            Place::Directory(root) => {
                let path = root.join(directory).join(name);
                let unwritable = format!("cannot write {}", path.display());
                // The draft goes along: it is removed by its owner only after it appeared.
                aside(unwritable, move || appear(&File::open(&draft.path)?, &draft.path, &path)).await
            }
            #[cfg(feature = "s3")]
            Place::Bucket(bucket) => bucket.send(&format!("{directory}/{name}"), &draft.path).await,
        }
    }

    /// The hash of a file, which is read in portions; nothing where there is none.
    pub async fn sha256(&self, directory: &str, name: &str) -> Result<Option<String>, String> {
        match self {
            Place::Directory(root) => {
                let path = root.join(directory).join(name);
                let hashed = move || match read_through(&path) {
                    Ok((_, sha256)) => Ok(Some(sha256)),
                    Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(e) => Err(e),
                };
                aside(format!("cannot read {}", root.join(directory).join(name).display()), hashed).await
            }
            #[cfg(feature = "s3")]
            Place::Bucket(bucket) => bucket.sha256(&format!("{directory}/{name}")).await,
        }
    }

    pub async fn get(&self, directory: &str, name: &str) -> Result<Option<Vec<u8>>, String> {
        match self {
            Place::Directory(root) => {
                let path = root.join(directory).join(name);
                match tokio::fs::read(&path).await {
                    Ok(bytes) => Ok(Some(bytes)),
                    Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
                    Err(e) => Err(format!("cannot read {}: {e}", path.display())),
                }
            }
            #[cfg(feature = "s3")]
            Place::Bucket(bucket) => bucket.get(&format!("{directory}/{name}")).await,
        }
    }
}

/// A file on its way into a place; it goes with its owner unless it was published.
pub struct Draft {
    path: PathBuf,
    #[cfg(feature = "s3")]
    _scratch: Option<Scratch>,
}

impl Draft {
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn create(&self) -> Result<File, String> {
        File::create(&self.path).map_err(|e| format!("cannot write {}: {e}", self.path.display()))
    }

    /// How many bytes were written, and their hash.
    pub async fn read_through(&self) -> Result<(u64, String), String> {
        let path = self.path.clone();
        aside(format!("cannot read {}", path.display()), move || read_through(&path)).await
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // Where it was published there is nothing of this name any more.
        let _ = fs::remove_file(&self.path);
    }
}

/// Works with files on a thread that may wait: a large one takes minutes, in which the run's lease has to be prolonged.
async fn aside<T: Send + 'static>(unable: String, work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|ended| ended.to_string())?;
    done.map_err(|e| format!("{unable}: {e}"))
}

fn read_through(path: &Path) -> io::Result<(u64, String)> {
    let (mut file, mut hash, mut bytes) = (File::open(path)?, Sha256::new(), 0);
    let mut portion = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut portion)?;
        if read == 0 {
            return Ok((bytes, in_hexadecimal(&hash.finalize())));
        }
        hash.update(&portion[..read]);
        bytes += read as u64;
    }
}

fn put(root: &Path, directory: &str, name: &str, bytes: &[u8], attempt: i64) -> io::Result<()> {
    let path = room_for(root, directory)?;
    clear_earlier(&path, name, attempt)?;
    let unfinished = path.join(unfinished(name, attempt));
    let mut file = File::create(&unfinished)?;
    let written = file.write_all(bytes).and_then(|()| appear(&file, &unfinished, &path.join(name)));
    if written.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    written
}

/// The directory of a job below one that is there.
fn room_for(root: &Path, directory: &str) -> io::Result<PathBuf> {
    // Made by us it would lie under the place where a disk or a share is to be mounted, and nobody would find it again.
    if !root.is_dir() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            format!("there is no directory {}; make or mount it", root.display()),
        ));
    }
    let mut path = root.to_owned();
    for part in directory.split('/') {
        let parent = path.clone();
        path.push(part);
        match fs::create_dir(&path) {
            Ok(()) => to_disk(&parent)?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(e),
        }
    }
    Ok(path)
}

/// Each attempt has a name of its own, so that one which was taken for dead cannot rename what is half written by another.
fn unfinished(name: &str, attempt: i64) -> String {
    format!(".{name}.{attempt}")
}

/// Removes what earlier attempts left behind, and what they had beside it.
fn clear_earlier(directory: &Path, name: &str, attempt: i64) -> io::Result<()> {
    let earlier: Vec<String> = (1..attempt).map(|attempt| unfinished(name, attempt)).collect();
    for file in if earlier.is_empty() { None } else { Some(fs::read_dir(directory)?) }.into_iter().flatten() {
        let file = file?.file_name();
        let left = |start: &String| file.to_str().is_some_and(|file| file == start || file.starts_with(&format!("{start}.")));
        if earlier.iter().any(left) {
            let _ = fs::remove_file(directory.join(file));
        }
    }
    Ok(())
}

#[cfg(feature = "s3")]
mod bucket {
    //! A bucket of an S3-compatible store. Endpoint, region and keys come from the environment, as other tools read them.

    use super::in_hexadecimal;
    use object_store::aws::{AmazonS3, AmazonS3Builder};
    use object_store::path::Path;
    use object_store::{Attribute, Attributes, MultipartUpload, ObjectStore, ObjectStoreExt};
    use object_store::{PutMultipartOptions, PutOptions, RetryConfig};
    use sha2::{Digest, Sha256};
    use std::io::Read;
    use std::time::Duration;

    /// What is not larger is put at once; anything else in parts of this size, of which a bucket takes ten thousand: 80 GB.
    const PART: u64 = 8 << 20;

    pub struct Bucket {
        store: AmazonS3,
        name: String,
        prefix: String,
    }

    impl Bucket {
        pub fn open(name: &str, prefix: &str) -> Result<Bucket, String> {
            // A run that fails is tried again anyway; the lease is not to end over a store that does not answer.
            let retry = RetryConfig { max_retries: 4, retry_timeout: Duration::from_secs(40), ..RetryConfig::default() };
            let store = AmazonS3Builder::from_env().with_bucket_name(name).with_retry(retry).build();
            let store = store.map_err(|e| format!("cannot reach the bucket {name}: {e}"))?;
            Ok(Bucket { store, name: name.to_owned(), prefix: prefix.to_owned() })
        }

        pub async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), String> {
            let path = self.path(name)?;
            let attributes = Attributes::from_iter([(Attribute::ContentType, content_type(name))]);
            let put = self.store.put_opts(&path, bytes.into(), PutOptions { attributes, ..PutOptions::default() }).await;
            put.map(drop).map_err(|e| self.said("write", &path, &e))
        }

        pub async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, String> {
            let path = self.path(name)?;
            let body = match self.store.get(&path).await {
                Ok(found) => found.bytes().await,
                Err(e) => Err(e),
            };
            match body {
                Ok(bytes) => Ok(Some(bytes.to_vec())),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(e) => Err(self.said("read", &path, &e)),
            }
        }

        /// Sends a file; nobody sees any of it before all of it is there.
        pub async fn send(&self, name: &str, file: &std::path::Path) -> Result<(), String> {
            let unreadable = |e: std::io::Error| format!("cannot read {}: {e}", file.display());
            let length = std::fs::metadata(file).map_err(unreadable)?.len();
            if length <= PART {
                return self.put(name, std::fs::read(file).map_err(unreadable)?).await;
            }
            let path = self.path(name)?;
            let attributes = Attributes::from_iter([(Attribute::ContentType, content_type(name))]);
            let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
            let mut upload = self.store.put_multipart_opts(&path, options).await.map_err(|e| self.said("write", &path, &e))?;
            let sent = self.send_parts(&mut *upload, &path, file).await;
            if sent.is_err() {
                let _ = upload.abort().await;
            }
            sent
        }

        /// One part after the other, so that memory holds one of them.
        async fn send_parts(&self, upload: &mut dyn MultipartUpload, path: &Path, file: &std::path::Path) -> Result<(), String> {
            let mut file = std::fs::File::open(file).map_err(|e| format!("cannot read {}: {e}", file.display()))?;
            loop {
                let mut part = Vec::new();
                let read = tokio::task::block_in_place(|| file.by_ref().take(PART).read_to_end(&mut part));
                if read.map_err(|e| format!("cannot read what is to be sent: {e}"))? == 0 {
                    break;
                }
                upload.put_part(part.into()).await.map_err(|e| self.said("write", path, &e))?;
            }
            upload.complete().await.map(drop).map_err(|e| self.said("write", path, &e))
        }

        /// The hash of an object, which is asked for in parts: one answer that brings all of a large one takes longer than an
        /// answer may.
        pub async fn sha256(&self, name: &str) -> Result<Option<String>, String> {
            let path = self.path(name)?;
            let hashed = async {
                let (length, mut hash, mut at) = (self.store.head(&path).await?.size, Sha256::new(), 0);
                while at < length {
                    let part = self.store.get_range(&path, at..(at + PART).min(length)).await?;
                    hash.update(&part);
                    at += part.len() as u64;
                }
                Ok::<_, object_store::Error>(in_hexadecimal(&hash.finalize()))
            };
            match hashed.await {
                Ok(sha256) => Ok(Some(sha256)),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(e) => Err(self.said("read", &path, &e)),
            }
        }

        fn path(&self, name: &str) -> Result<Path, String> {
            let whole = if self.prefix.is_empty() { name.to_owned() } else { format!("{}/{name}", self.prefix) };
            Path::parse(&whole).map_err(|e| format!("`{whole}` is no name of an object: {e}"))
        }

        fn said(&self, doing: &str, path: &Path, error: &object_store::Error) -> String {
            format!("cannot {doing} s3://{}/{path}: {}", self.name, without_bodies(&error.to_string()))
        }
    }

    /// What a store answers may repeat what it was sent, down to a session's token; of that only its word for the error is
    /// told on.
    fn without_bodies(error: &str) -> String {
        let Some(body) = error.find('<') else { return error.to_owned() };
        let code = error.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>")).map(|(code, _)| code);
        let code = code.filter(|code| code.chars().all(|letter| letter.is_ascii_alphanumeric()) && code.len() <= 80);
        format!("{}{}", &error[..body], code.unwrap_or("..."))
    }

    fn content_type(name: &str) -> &'static str {
        match name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("csv") => "text/csv; charset=utf-8; header=present",
            Some("json") => "application/json",
            Some("ndjson") => "application/x-ndjson",
            Some("txt" | "beancount" | "ledger" | "journal") => "text/plain; charset=utf-8",
            _ => "application/vnd.apache.parquet",
        }
    }

    #[cfg(test)]
    mod tests {
        #[test]
        fn of_an_answer_that_repeats_a_secret_only_the_word_for_the_error_is_told_on() {
            let said =
                "status 403 Forbidden: <?xml version=\"1.0\"?><Error><Code>InvalidToken</Code><Token-0>secret</Token-0></Error>";
            assert_eq!(super::without_bodies(said), "status 403 Forbidden: InvalidToken");
            assert_eq!(super::without_bodies("<html>secret</html>"), "...");
            assert_eq!(super::without_bodies("<Code>se/cret</Code>"), "...");
            assert_eq!(super::without_bodies("connection refused"), "connection refused");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Scratch {
            let path = std::env::temp_dir().join(format!("farthing-place-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Scratch(path)
        }

        fn names(&self) -> Vec<String> {
            let mut names: Vec<_> =
                fs::read_dir(self.0.join("a/b")).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_replaces_the_one_of_its_name_and_leaves_nothing_beside_it() {
        let scratch = Scratch::new("replaces");
        put(&scratch.0, "a/b", "x.csv", b"one", 1).unwrap();
        // What an attempt left behind that broke off.
        fs::write(scratch.0.join("a/b/.x.csv.2"), b"half").unwrap();
        put(&scratch.0, "a/b", "x.csv", b"two", 3).unwrap();
        assert_eq!(fs::read(scratch.0.join("a/b/x.csv")).unwrap(), b"two");
        assert_eq!(scratch.names(), ["x.csv"]);
    }

    #[test]
    fn where_the_file_cannot_stand_nothing_is_left() {
        let scratch = Scratch::new("cannot");
        fs::create_dir_all(scratch.0.join("a/b/x.csv/in the way")).unwrap();
        assert!(put(&scratch.0, "a/b", "x.csv", b"one", 1).is_err());
        assert_eq!(scratch.names(), ["x.csv"]);
    }

    #[test]
    fn a_destination_that_is_not_there_is_not_made() {
        let scratch = Scratch::new("not-there");
        let missing = scratch.0.join("share");
        let error = put(&missing, "a/b", "x.csv", b"one", 1).unwrap_err();
        assert!(error.to_string().contains("share; make or mount it"), "{error}");
        assert!(!missing.exists());
    }
}
