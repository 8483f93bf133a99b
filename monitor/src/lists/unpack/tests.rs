use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};

use super::*;

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn text_is_unchanged_and_every_member_of_gzip_is_unpacked() {
    assert_eq!(unpack(b"192.0.2.1\n".to_vec()).unwrap(), b"192.0.2.1\n");
    assert_eq!(unpack(Vec::new()).unwrap(), b"");
    let two = [packed(b"192.0.2.1\n"), packed(b"192.0.2.2\n")].concat();
    assert_eq!(unpack(two).unwrap(), b"192.0.2.1\n192.0.2.2\n");
}

#[test]
fn zeros_after_the_last_member_are_padding_and_other_bytes_are_not() {
    let list = b"192.0.2.1\n";
    for zeros in [1, 511, 4096] {
        let padded = [packed(list), vec![0; zeros]].concat();
        assert_eq!(unpack(padded).unwrap(), list, "{zeros}");
    }
    let hidden = [packed(list), vec![0; 512], packed(list)].concat();
    assert!(matches!(unpack(hidden), Err(UnpackError::Damaged { .. })));
    let text = [packed(list), list.to_vec()].concat();
    assert!(matches!(unpack(text), Err(UnpackError::Damaged { .. })));
}

#[test]
fn the_limit_is_kept_to_the_byte() {
    let bytes = packed(&[b'#'; 1000]);
    assert_eq!(unpack_up_to(bytes.clone(), 1000).unwrap().len(), 1000);
    let error = unpack_up_to(bytes, 999).unwrap_err();
    assert!(matches!(error, UnpackError::TooLarge { limit: 999 }));
    let shown = UnpackError::TooLarge {
        limit: MAX_UNPACKED,
    }
    .to_string();
    assert_eq!(shown, "unpacked it is larger than 256 MiB");
}

#[test]
fn a_truncated_file_is_an_error() {
    let bytes = packed(b"192.0.2.0/24\n198.51.100.0/24\n");
    let error = unpack(bytes[..bytes.len() - 6].to_vec()).unwrap_err();
    assert!(error.to_string().starts_with("unpack gzip: "), "{error}");
}

const LIST: &[u8] = b"192.0.2.1\n192.0.2.2\n";

/// `printf '192.0.2.1\n192.0.2.2\n' | zstd`, `| xz` and, as `l.txt`, `zip`.
const ZSTD: &str = "28b52ffd0458a100003139322e302e322e310a3139322e302e322e320a2db58eff";
const XZ: &str = "fd377a585a000004e6d6b4460200210116000000742fe5a3e0001300125d00188e428874b749eebd36a01938158402600000000000910b12af8e6dc200012e147a685b311fb6f37d010000000004595a";
const ZIP: &str = "504b03041400000008000000210073b100da1000000014000000050000006c2e74787433b434d233d033d233e43284b28cb800504b010214031400000008000000210073b100da10000000140000000500000000000000000000008001000000006c2e747874504b0506000000000100010033000000330000000000";
/// A zip with two files, and one with a folder and a file.
const TWO: &str = "504b03041400000008000000210073b100da1000000014000000050000006c2e74787433b434d233d033d233e43284b28cb800504b03041400000008000000210073b100da1000000014000000050000006d2e74787433b434d233d033d233e43284b28cb800504b010214031400000008000000210073b100da10000000140000000500000000000000000000008001000000006c2e747874504b010214031400000008000000210073b100da10000000140000000500000000000000000000008001330000006d2e747874504b0506000000000200020066000000660000000000";
const FOLDER: &str = "504b03041400000000000000210000000000000000000000000002000000642f504b03041400000008000000210073b100da100000001400000007000000642f6c2e74787433b434d233d033d233e43284b28cb800504b0102140314000000000000002100000000000000000000000000020000000000000000000000800100000000642f504b010214031400000008000000210073b100da1000000014000000070000000000000000000000800120000000642f6c2e747874504b0506000000000200020065000000550000000000";

fn bytes(hexadecimal: &str) -> Vec<u8> {
    hex::decode(hexadecimal).unwrap()
}

#[test]
fn every_packing_is_unpacked_within_the_limit() {
    let gzip = hex::encode(packed(LIST));
    for (packing, packed) in [
        ("gzip", gzip.as_str()),
        ("zstd", ZSTD),
        ("xz", XZ),
        ("zip", ZIP),
        ("zip", FOLDER),
    ] {
        let length = LIST.len() as u64;
        assert_eq!(
            unpack_up_to(bytes(packed), length).unwrap(),
            LIST,
            "{packing}"
        );
        let error = unpack_up_to(bytes(packed), length - 1).unwrap_err();
        assert!(
            matches!(error, UnpackError::TooLarge { .. }),
            "{packing}: {error}"
        );
        let mut short = bytes(packed);
        short.truncate(short.len() - 9);
        let error = unpack(short).unwrap_err().to_string();
        assert!(error.starts_with(&format!("unpack {packing}: ")), "{error}");
    }
    let error = unpack(bytes(TWO)).unwrap_err().to_string();
    assert_eq!(error, "unpack zip: it has 2 files, and a list is one file");
}

#[test]
fn the_number_of_parts_and_of_entries_is_limited() {
    let member = packed(b"");
    assert!(unpack(member.repeat(MAX_PARTS)).is_ok());
    let error = unpack(member.repeat(MAX_PARTS + 1)).unwrap_err();
    assert!(matches!(error, UnpackError::Parts { .. }), "{error}");
    let mut zip = bytes(ZIP);
    zip.extend(ZIP_ENTRY.repeat(MAX_ZIP_ENTRIES));
    assert!(matches!(
        unpack(zip),
        Err(UnpackError::Files { count: 1001 })
    ));
}

#[test]
fn several_frames_and_streams_are_one_list() {
    for packed in [ZSTD, XZ] {
        let two = bytes(packed).repeat(2);
        assert_eq!(unpack(two).unwrap(), LIST.repeat(2));
    }
}

#[test]
fn a_window_beyond_the_limit_is_refused_before_it_is_allocated() {
    // Frame header: no content size, window descriptor 0xf8 for 2 TiB.
    let zstd = [ZSTD_MAGIC, &[0x00, 0xf8, 0x01, 0, 0]].concat();
    assert!(matches!(unpack(zstd), Err(UnpackError::Damaged { .. })));
    // The size of the dictionary is the byte 16 of the file; 40 means 4 GiB.
    let mut xz = bytes(XZ);
    xz[16] = 40;
    let checksum = crc32(&xz[12..20]);
    xz[20..24].copy_from_slice(&checksum.to_le_bytes());
    let error = unpack(xz).unwrap_err().to_string();
    assert!(error.contains("mem"), "{error}");
}

const ZSTD_MAGIC: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[test]
fn a_wrong_byte_in_a_frame_is_found_by_its_checksum() {
    // The last four bytes are the checksum.
    let mut zstd = bytes(ZSTD);
    assert_eq!(unpack(zstd.clone()).unwrap(), LIST);
    let at = zstd.windows(3).position(|window| window == b"192").unwrap();
    zstd[at] = b'2';
    let error = unpack(zstd).unwrap_err().to_string();
    assert_eq!(error, "unpack zstd: the checksum is wrong");
}

#[test]
fn frames_without_content_are_skipped() {
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let before = [skippable.as_slice(), &bytes(ZSTD), &skippable].concat();
    assert_eq!(unpack(before).unwrap(), LIST);
    let cut = [bytes(ZSTD).as_slice(), &skippable[..9]].concat();
    assert!(matches!(unpack(cut), Err(UnpackError::Damaged { .. })));
}

#[test]
fn files_of_another_kind_are_named() {
    let mut tar = vec![b'a'; 600];
    tar[257..262].copy_from_slice(b"ustar");
    for (content, what) in [
        (tar.clone(), "a tar archive"),
        (packed(&tar), "a tar archive"),
        (packed(&packed(LIST)), "compressed twice"),
        (b"PK\x05\x06\0\0".to_vec(), "an empty zip"),
        (b"%PDF-1.7\n".to_vec(), "a PDF document"),
        (b"BZh91AY".to_vec(), "compressed with bzip2"),
        (vec![0x5d, 0, 0, 0x80], "compressed with lzma"),
        (b"7z\xbc\xaf\x27\x1c\0".to_vec(), "a 7z archive"),
    ] {
        let error = unpack(content).unwrap_err().to_string();
        assert_eq!(error, format!("it is {what}, which is not read"));
    }
}

#[test]
fn packed_feeds_keep_the_limit_of_a_feed() {
    // One block that repeats a byte 128 KiB times, and the last one.
    let mut zstd = [ZSTD_MAGIC, &[0x00, 0x38]].concat();
    for block in 1..=65 * 8 {
        let header = u32::from(block == 65 * 8) | 1 << 1 | (128 * 1024) << 3;
        zstd.extend_from_slice(&header.to_le_bytes()[..3]);
        zstd.push(b'#');
    }
    let xz = bytes(XZ_MEBIBYTE).repeat(65);
    let gzip = packed(&vec![b'#'; 65 << 20]);
    for content in [zstd, xz, gzip] {
        assert_eq!(unpack(content.clone()).unwrap().len(), 65 << 20);
        let error = crate::lists::feed_text(content).unwrap_err().to_string();
        assert_eq!(error, "unpacked it is larger than 64 MiB");
    }
}

/// `head -c 1048576 /dev/zero | tr '\0' '#' | xz -9 --check=crc32`
const XZ_MEBIBYTE: &str = "fd377a585a0000016922de36020021011c00000010cf58ccefffff00d95d0011effbbffea3b15ee5f83fb2aa2655f868704170150f8dfd1e4c1b8a42b719f4691871ae66238a8a4d2fa30dd97fa6e38c231153e05918c5758ae277f8b6947f0c6ac0de744964e2e95c53b204d8f7440cab5f0d6d46e9e5c37688b79657acb64de1691d6ffb4b88106c42cb883f5c008fd04eaf262894711f3d8f24e1709ea7235fec28cb85d195988a7e2a91f22775f719c006984d98fdd8afd5900fc42553f8f591363105a5b0ee6fc1704d470cd19111aaad601dbaceb127185c5986e9665258bee976ac59e4e55b0508f9c7daadfcfb522af7e495250000000000038ab8b50001f101808040006fd5eedc3e300d8b020000000001595a";
