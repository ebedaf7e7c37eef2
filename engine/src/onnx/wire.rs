//! [`fields`] and [`encode_field`]: the Protocol Buffers wire format, for changes to a file that keep every other byte.

/// A field of a message.
pub(super) struct Field<'a> {
    pub(super) number: u64,
    /// The content, if it is length-delimited: a message, a text or bytes.
    pub(super) content: Option<&'a [u8]>,
    /// The field as in the file, with its tag.
    pub(super) bytes: &'a [u8],
}

/// The fields of a message. A message in place of the first one that is invalid, and none after it.
pub(super) fn fields(message: &[u8]) -> impl Iterator<Item = Result<Field<'_>, String>> {
    let mut rest = message;
    std::iter::from_fn(move || {
        let field = (!rest.is_empty()).then(|| next_field(&mut rest));
        if matches!(field, Some(Err(_))) {
            rest = &[];
        }
        field
    })
}

fn next_field<'a>(rest: &mut &'a [u8]) -> Result<Field<'a>, String> {
    let truncated = || "it is truncated".to_owned();
    let start = *rest;
    let tag = varint(rest).ok_or_else(truncated)?;
    let length = match tag & 7 {
        0 => varint(rest).map(|_| 0),
        1 => Some(8),
        2 => varint(rest),
        5 => Some(4),
        wire_type => return Err(format!("a field has the unknown wire type {wire_type}")),
    };
    let length = length.and_then(|length| usize::try_from(length).ok()).ok_or_else(truncated)?;
    let (content, after) = rest.split_at_checked(length).ok_or_else(truncated)?;
    *rest = after;
    let bytes = &start[..start.len() - after.len()];
    Ok(Field { number: tag >> 3, content: (tag & 7 == 2).then_some(content), bytes })
}

/// Reads a base-128 varint. `None` if it is truncated or longer than 64 bits.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// A length-delimited field with a number below 16.
pub(crate) fn encode_field(number: u8, content: &[u8]) -> Vec<u8> {
    const LENGTH_DELIMITED: u8 = 2;
    let mut bytes = vec![number << 3 | LENGTH_DELIMITED];
    let mut length = content.len();
    while length >= 0x80 {
        bytes.push(length as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend_from_slice(content);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_fields_are_read() {
        let long = vec![7; 300];
        let message = [encode_field(3, &long), vec![1 << 3, 0x96, 0x01], encode_field(15, b"")].concat();
        let read: Vec<_> = fields(&message)
            .map(Result::unwrap)
            .map(|field| (field.number, field.content, field.bytes.len()))
            .collect();
        assert_eq!(read, [(3, Some(&long[..]), 303), (1, None, 3), (15, Some(&b""[..]), 2)]);
        let truncated: Vec<_> = fields(&message[..100]).map(|field| field.err()).collect();
        assert_eq!(truncated, [Some("it is truncated".to_owned())]);
    }
}
