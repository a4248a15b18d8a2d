//! What surrounds the records in a file: by it a file is known, whole and undamaged, before a byte of
//! the records is believed.
//!
//! ```text
//! offset  bytes
//!      0      8  magic
//!      8      4  version of the records, little-endian
//!     12      8  length of the records in bytes, little-endian
//!     20     32  SHA-256 of the records and of the 20 bytes before
//!     52         the records, to the end of the file
//! ```

use std::io::{self, Seek, SeekFrom, Write};

use sha2::{Digest, Sha256};

/// As PNG's: the first byte is no text, and whatever converts line ends shows.
const MAGIC: [u8; 8] = *b"\x89IKE\r\n\x1a\n";

/// The version of the records that this program writes, and the only one it reads.
pub(super) const VERSION: u32 = 1;

/// The largest file that is written or read: some 60 bytes a key are usual, so this is enough for
/// millions of them, and a file gone wild can't take all memory.
pub(super) const MAX_BYTES: u64 = 1 << 30;

/// Magic, version and length.
const DESCRIPTION: usize = 20;
const HEADER: usize = DESCRIPTION + 32;

/// Why a file can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    #[error("it does not begin as one does")]
    Foreign,
    #[error("its format has version {0}, and this release reads version {VERSION}")]
    Newer(u32),
    #[error("its format has version {0}, which there never was")]
    NoVersion(u32),
    #[error("it has {found} bytes of records where {expected} were written")]
    Length { expected: u64, found: u64 },
    #[error("its checksum is wrong")]
    Checksum,
    #[error("its records make no sense: {0}")]
    Records(String),
    #[error("it is larger than {MAX_BYTES} bytes")]
    TooLarge,
    #[error("it could not be read: {0}")]
    Unreadable(String),
}

/// Writes records into an envelope, and the header last, when their length and checksum are known.
pub(super) struct Sealer<W> {
    out: W,
    records: Sha256,
    length: u64,
}

impl<W: Write + Seek> Sealer<W> {
    pub(super) fn new(mut out: W) -> io::Result<Self> {
        out.write_all(&[0; HEADER])?;
        Ok(Self {
            out,
            records: Sha256::new(),
            length: 0,
        })
    }

    /// Appends to the records.
    pub(super) fn write(&mut self, records: &[u8]) -> io::Result<()> {
        self.length += records.len() as u64;
        if self.length > MAX_BYTES - HEADER as u64 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.records.update(records);
        self.out.write_all(records)
    }

    /// Writes the header; nothing before this makes a file that is believed.
    pub(super) fn seal(mut self) -> io::Result<W> {
        let description = description(VERSION, self.length);
        let sum = checksum(description, self.records);
        self.out.seek(SeekFrom::Start(0))?;
        self.out.write_all(&description)?;
        self.out.write_all(&sum)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// The records in a file, once all is in order that can be told without reading them.
pub(super) fn open(file: &[u8]) -> Result<&[u8], Flaw> {
    let foreign = Flaw::Foreign;
    let rest = file.strip_prefix(&MAGIC).ok_or(foreign.clone())?;
    let (version, rest) = rest.split_first_chunk().ok_or(foreign.clone())?;
    let (length, rest) = rest.split_first_chunk().ok_or(foreign.clone())?;
    let (sum, records) = rest.split_first_chunk::<32>().ok_or(foreign)?;
    let version = u32::from_le_bytes(*version);
    let expected = u64::from_le_bytes(*length);
    match version {
        VERSION => {}
        0 => return Err(Flaw::NoVersion(version)),
        newer => return Err(Flaw::Newer(newer)),
    }
    let found = records.len() as u64;
    if found != expected {
        return Err(Flaw::Length { expected, found });
    }
    let actual = checksum(
        description(version, expected),
        Sha256::new_with_prefix(records),
    );
    if actual == *sum {
        Ok(records)
    } else {
        Err(Flaw::Checksum)
    }
}

/// The header before the checksum.
fn description(version: u32, length: u64) -> [u8; DESCRIPTION] {
    let mut bytes = [0; DESCRIPTION];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    bytes[12..].copy_from_slice(&length.to_le_bytes());
    bytes
}

/// The records come first, for they are written before their length is known.
fn checksum(description: [u8; DESCRIPTION], mut records: Sha256) -> [u8; 32] {
    records.update(description);
    records.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn sealed(records: &[u8]) -> Vec<u8> {
        let mut sealer = Sealer::new(Cursor::new(Vec::new())).unwrap();
        for part in records.chunks(7) {
            sealer.write(part).unwrap();
        }
        sealer.seal().unwrap().into_inner()
    }

    #[test]
    fn records_come_out_as_they_went_in() {
        for records in [&b""[..], b"1", b"records of some length"] {
            assert_eq!(open(&sealed(records)), Ok(records));
        }
    }

    #[test]
    fn a_file_cut_short_anywhere_is_not_opened() {
        let file = sealed(b"records of some length");
        for end in 0..file.len() {
            assert!(open(&file[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn a_file_with_anything_behind_it_is_not_opened() {
        let mut file = sealed(b"records");
        file.push(0);
        let flaw = Flaw::Length {
            expected: 7,
            found: 8,
        };
        assert_eq!(open(&file), Err(flaw));
    }

    #[test]
    fn no_byte_can_be_another_one() {
        let file = sealed(b"records of some length");
        for place in 0..file.len() {
            for other in 1..=255 {
                let mut file = file.clone();
                file[place] ^= other;
                assert!(open(&file).is_err(), "{place} {other}");
            }
        }
    }

    #[test]
    fn another_version_is_told_from_damage() {
        let mut file = sealed(b"records");
        file[8] = 2;
        assert_eq!(open(&file), Err(Flaw::Newer(2)));
        file[8] = 0;
        assert_eq!(open(&file), Err(Flaw::NoVersion(0)));
        assert_eq!(open(b"{\"json\": true}"), Err(Flaw::Foreign));
        assert_eq!(open(b""), Err(Flaw::Foreign));
    }
}
