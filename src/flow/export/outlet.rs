//! Bytes on their way out: they are hashed and written on a thread of their own while more of them are made.

use super::files::hexadecimal;
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Portions that wait for the disk at most.
const WAITING: usize = 2;

pub struct Outlet<W: Write + Send + 'static> {
    /// Nothing once there is no more to come.
    to: Option<SyncSender<Vec<u8>>>,
    /// Portions that were written, to be filled again.
    written: Receiver<Vec<u8>>,
    thread: Option<JoinHandle<io::Result<Written<W>>>>,
}

/// What all of it came to, and where it went.
pub struct Written<W> {
    pub to: W,
    pub sha256: String,
    pub bytes: u64,
}

impl<W: Write + Send + 'static> Outlet<W> {
    pub fn new(mut writer: W) -> io::Result<Outlet<W>> {
        let (to, portions) = sync_channel::<Vec<u8>>(WAITING);
        let (back, written) = sync_channel(WAITING);
        let write = move || {
            let (mut hash, mut bytes) = (Sha256::new(), 0);
            for mut portion in portions {
                hash.update(&portion);
                writer.write_all(&portion)?;
                bytes += portion.len() as u64;
                portion.clear();
                // Whoever makes portions has enough of them.
                let _ = back.try_send(portion);
            }
            writer.flush()?;
            Ok(Written { to: writer, sha256: hexadecimal(&hash.finalize()), bytes })
        };
        let thread = std::thread::Builder::new().name("export".to_owned()).spawn(write)?;
        Ok(Outlet { to: Some(to), written, thread: Some(thread) })
    }

    /// Hands on what is in a buffer, which is empty then. An error is of something handed on before.
    pub fn send(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        let empty = self.written.try_recv().unwrap_or_else(|_| Vec::with_capacity(buffer.capacity()));
        let full = std::mem::replace(buffer, empty);
        match self.to.as_ref().map(|to| to.send(full)) {
            Some(Ok(())) => Ok(()),
            // It ends before its time only where it could not write, and what was handed on last is lost in any case.
            Some(Err(_)) | None => self.ended().and_then(|_| Err(io::Error::other("the thread that writes ended early"))),
        }
    }

    /// Waits until everything is written.
    pub fn end(mut self) -> io::Result<Written<W>> {
        self.ended()
    }

    fn ended(&mut self) -> io::Result<Written<W>> {
        self.to = None;
        let broke_off = || io::Error::other("the thread that writes broke off");
        self.thread.take().ok_or_else(broke_off)?.join().map_err(|_| broke_off())?
    }
}

/// Whoever gives up leaves nobody behind who still writes.
impl<W: Write + Send + 'static> Drop for Outlet<W> {
    fn drop(&mut self) {
        let _ = self.ended();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_handed_on_is_written_in_order_and_hashed() {
        let mut outlet = Outlet::new(Vec::new()).unwrap();
        let mut all = Vec::new();
        let mut buffer = Vec::new();
        for number in 0..100_u32 {
            buffer.extend(number.to_string().repeat(number as usize).bytes());
            all.extend_from_slice(&buffer);
            outlet.send(&mut buffer).unwrap();
            assert!(buffer.is_empty());
        }
        let written = outlet.end().unwrap();
        assert_eq!((written.bytes, written.sha256), (all.len() as u64, hexadecimal(&Sha256::digest(&all))));
        assert_eq!(written.to, all);
    }

    struct Full(usize);

    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_disk_that_is_full_is_told_of_at_the_end_at_the_latest() {
        let fill = |portions: usize| {
            let mut outlet = Outlet::new(Full(100))?;
            (0..portions).try_for_each(|_| outlet.send(&mut vec![0; 40]))?;
            outlet.end()
        };
        assert_eq!(fill(2).unwrap().bytes, 80);
        for portions in [3, 100] {
            assert_eq!(fill(portions).err().unwrap().kind(), io::ErrorKind::StorageFull, "{portions}");
        }
    }
}
