//! The digest of the running executable: read once, on a thread of its own, because it is large.

use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::assemble::hex;
use crate::status::Status;

/// The file that this process runs, even where another one stands at its path by now.
const SELF: &str = "/proc/self/exe";
/// Bytes read at a time.
const PIECE_BYTES: usize = 256 << 10;

/// Reads it in the background; `status` tells it from then on.
pub fn measure(status: Arc<Status>, worker_cores: Vec<usize>) {
    let spawned = std::thread::Builder::new().name("executable".to_owned()).spawn(move || {
        crate::affinity::leave(&worker_cores);
        match File::open(SELF).and_then(digest) {
            Ok(sha256) => status.set_binary_sha256(sha256),
            Err(error) => crate::warning!("the digest of the executable is not known: {SELF}: {error}"),
        }
    });
    if let Err(error) = spawned {
        crate::warning!("the digest of the executable is not known: {error}");
    }
}

fn digest(mut file: impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(format!("sha256:{}", hex(&hash.finalize()))),
            Ok(count) => hash.update(piece.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_whole() {
        let bytes = vec![7; 3 * PIECE_BYTES + 1];
        let expected = format!("sha256:{}", hex(&Sha256::digest(&bytes)));
        assert_eq!(digest(bytes.as_slice()).unwrap(), expected);
        assert!(File::open(SELF).and_then(digest).unwrap().starts_with("sha256:"));
    }
}
