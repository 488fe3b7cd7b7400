//! Entries within a block: length of the key, length of the value, key, value; lengths in base 128, little end first.

/// Appends an entry. A value's length is stored plus one, so that 0 says that the key was deleted.
pub fn encode(out: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    number(out, key.len() as u64);
    number(out, value.map_or(0, |v| v.len() as u64 + 1));
    out.extend_from_slice(key);
    out.extend_from_slice(value.unwrap_or_default());
}

/// Takes the first entry off `block`; none where it makes no sense.
#[inline]
pub fn decode<'a>(block: &mut &'a [u8]) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let key = usize::try_from(read_number(block)?).ok()?;
    let value = usize::try_from(read_number(block)?).ok()?;
    let key = take(block, key)?;
    let value = match value.checked_sub(1) {
        Some(length) => Some(take(block, length)?),
        None => None,
    };
    Some((key, value))
}

#[inline]
fn number(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

#[inline]
fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut n = 0;
    for shift in (0..63).step_by(7) {
        let byte = take(bytes, 1)?[0];
        n |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(n);
        }
    }
    None
}

#[inline]
fn take<'a>(bytes: &mut &'a [u8], n: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(n)?;
    *bytes = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_and_what_is_cut_off_does_not() {
        let long = vec![7; 70_000];
        let entries: [(&[u8], Option<&[u8]>); 4] =
            [(b"", None), (b"a", Some(b"")), (&long, Some(b"x")), (b"k", Some(&long))];
        for (key, value) in entries {
            let mut block = Vec::new();
            encode(&mut block, key, value);
            let mut rest = &block[..];
            assert_eq!(decode(&mut rest), Some((key, value)));
            assert!(rest.is_empty());
            for cut in (0..block.len()).step_by(block.len() / 50 + 1) {
                assert_eq!(decode(&mut &block[..cut]), None);
            }
        }
        assert_eq!(decode(&mut &[0xff; 32][..]), None);
    }
}
