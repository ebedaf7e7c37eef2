//! Tests of [`Entries`](super::entries::Entries), whole files among them.

use super::entries::CooBatch;
use super::header::HeaderParser;

type Entry = (i64, i64, String);

/// All entries of a text, read from chunks in batches of `capacity`.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>, capacity: usize) -> Result<Vec<Entry>, String> {
    let (mut header, mut entries, mut found) = (HeaderParser::default(), None, Vec::new());
    let mut take = |block: CooBatch| {
        assert!(block.len() <= capacity.max(2) + 2);
        let reals = block.reals.iter().map(ToString::to_string);
        let values = reals.chain(block.integers.iter().map(ToString::to_string));
        let values = values.chain(block.unsigned.iter().map(ToString::to_string));
        found
            .extend(block.rows.into_iter().zip(block.columns).zip(values).map(|((row, col), value)| (row, col, value)));
    };
    for mut piece in pieces {
        if entries.is_none() {
            entries = header.push(&mut piece)?;
        }
        while let Some(entries) = &mut entries
            && !piece.is_empty()
        {
            let mut block = CooBatch::new(entries.header(), capacity, [true; 3]);
            entries.push(&mut piece, &mut block)?;
            assert!(block.is_full() || piece.is_empty());
            take(block);
        }
    }
    let mut entries = entries.map_or_else(|| header.finish(), Ok)?;
    let mut block = CooBatch::new(entries.header(), capacity, [true; 3]);
    entries.finish(&mut block)?;
    take(block);
    Ok(found)
}

fn whole(text: &[u8]) -> Result<Vec<Entry>, String> {
    read(std::iter::once(text), 1000)
}

/// The slow reference; `None` for any error.
fn reference_read(text: &str) -> Option<Vec<Entry>> {
    let mut lines = text.split('\n');
    let banner = lines.next()?.to_lowercase();
    let ["%%matrixmarket", "matrix", format, field, symmetry] = banner.split_ascii_whitespace().collect::<Vec<_>>()[..]
    else {
        return None;
    };
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split_ascii_whitespace().collect()).collect();
    let mut rows = rows.into_iter().filter(|words: &Vec<&str>| !words.is_empty() && !words[0].starts_with('%'));
    let sizes: Vec<i64> = rows.next()?.iter().map(|word| word.parse().ok()).collect::<Option<_>>()?;
    let (height, width) = (*sizes.first()?, *sizes.get(1)?);
    if sizes.iter().any(|size| *size < 0) || (symmetry != "general" && height != width) {
        return None;
    }
    let mut places = Vec::new();
    match (format, sizes.len()) {
        ("coordinate", 3) => {}
        ("array", 2) if field != "pattern" => {
            for column in 1..=width {
                let first = match symmetry {
                    "general" => 1,
                    "symmetric" => column,
                    _ => column + 1,
                };
                places.extend((first..=height).map(|row| (row.to_string(), column.to_string())));
            }
        }
        _ => return None,
    }
    let promised = if format == "array" { places.len() } else { usize::try_from(sizes[2]).ok()? };
    let mut found = Vec::new();
    for (number, words) in rows.enumerate() {
        let mut words: Vec<&str> = words;
        if format == "array" {
            let (row, column) = places.get(number)?;
            words.splice(0..0, [row.as_str(), column.as_str()]);
        }
        if field == "pattern" {
            words.push("1");
        }
        let [row, column, value] = words[..] else { return None };
        let (row, column): (i64, i64) = (row.parse().ok()?, column.parse().ok()?);
        let (value, negative) = match field {
            "real" => {
                let value: f64 = value.parse().ok()?;
                (value.to_string(), Some((-value).to_string()))
            }
            "unsigned-integer" if symmetry != "skew-symmetric" => (value.parse::<u64>().ok()?.to_string(), None),
            "integer" | "pattern" | "unsigned-integer" => {
                let value: i64 = value.parse().ok()?;
                (value.to_string(), value.checked_neg().map(|value| value.to_string()))
            }
            _ => return None,
        };
        if !(1..=height).contains(&row) || !(1..=width).contains(&column) {
            return None;
        }
        let (row, column) = (row - 1, column - 1);
        found.push((row, column, value.clone()));
        match symmetry {
            "general" => {}
            "symmetric" if row == column => {}
            "symmetric" => found.push((column, row, value)),
            "skew-symmetric" if row != column => found.push((column, row, negative?)),
            "skew-symmetric" if value.parse::<f64>() == Ok(0.0) => {}
            _ => return None,
        }
        if number >= promised {
            return None;
        }
    }
    let lines = match symmetry {
        "general" => found.len(),
        _ => {
            found.iter().filter(|(row, column, _)| row == column).count()
                + found.iter().filter(|(row, column, _)| row != column).count() / 2
        }
    };
    (lines == promised).then_some(found)
}

fn entries(expected: &[(i64, i64, &str)]) -> Vec<Entry> {
    expected.iter().map(|(row, column, value)| (*row, *column, (*value).to_owned())).collect()
}

/// Every type of matrix, with its entries.
fn matrices() -> Vec<(&'static str, Vec<Entry>)> {
    vec![
        (
            "coordinate real general\n% two\n3 4 5\n1 1 1.5\n\n 3\t4  -2e-3 \r\n% more\n2 1 inf\n2 2 NaN\n2 2 +.5",
            entries(&[(0, 0, "1.5"), (2, 3, "-0.002"), (1, 0, "inf"), (1, 1, "NaN"), (1, 1, "0.5")]),
        ),
        (
            "coordinate integer symmetric\n3 3 3\n1 1 7\n3 1 -9223372036854775808\n1 2 +4\n",
            entries(&[
                (0, 0, "7"),
                (2, 0, "-9223372036854775808"),
                (0, 2, "-9223372036854775808"),
                (0, 1, "4"),
                (1, 0, "4"),
            ]),
        ),
        ("coordinate real skew-symmetric\n2 2 1\n2 1 2.5\n", entries(&[(1, 0, "2.5"), (0, 1, "-2.5")])),
        ("coordinate pattern general\n2 9 2\n2 9\n1 3\n", entries(&[(1, 8, "1"), (0, 2, "1")])),
        ("coordinate pattern skew-symmetric\n2 2 1\n2 1\n", entries(&[(1, 0, "1"), (0, 1, "-1")])),
        ("coordinate real general\n0 0 0\n", vec![]),
        (
            "array integer general\n2 3\n1\n2\n\n3\n0\n5\n6\n",
            entries(&[(0, 0, "1"), (1, 0, "2"), (0, 1, "3"), (1, 1, "0"), (0, 2, "5"), (1, 2, "6")]),
        ),
        ("array real symmetric\n2 2\n1\n2\n3", entries(&[(0, 0, "1"), (1, 0, "2"), (0, 1, "2"), (1, 1, "3")])),
        (
            "array real skew-symmetric\n3 3\n1\n2\n3\n",
            entries(&[(1, 0, "1"), (0, 1, "-1"), (2, 0, "2"), (0, 2, "-2"), (2, 1, "3"), (1, 2, "-3")]),
        ),
        ("array real general\n0 5\n", vec![]),
        (
            "coordinate unsigned-integer symmetric\n2 2 2\n1 1 18446744073709551615\n2 1 0\n",
            entries(&[(0, 0, "18446744073709551615"), (1, 0, "0"), (0, 1, "0")]),
        ),
        (
            "coordinate real skew-symmetric\n2 2 3\n1 1 0\n2 1 2.5\n2 2 -0.0\n",
            entries(&[(0, 0, "0"), (1, 0, "2.5"), (0, 1, "-2.5"), (1, 1, "-0")]),
        ),
        (
            "coordinate unsigned-integer skew-symmetric\n2 2 2\n2 1 3\n2 2 0\n",
            entries(&[(1, 0, "3"), (0, 1, "-3"), (1, 1, "0")]),
        ),
    ]
}

/// Errors after the header, with their messages.
const MALFORMED: [(&str, &str); 20] = [
    ("coordinate real general\n4 4 1\n9 1 1\n", "line 3: expected a row from 1 to 4, found 9"),
    ("coordinate real general\n4 4 1\n1 0 1\n", "line 3: expected a column from 1 to 4, found 0"),
    ("coordinate real general\n4 4 1\n%\n-1 1 1\n", "line 4: expected a row from 1 to 4, found -1"),
    ("coordinate real general\n4 4 1\nx 1 1\n", "line 3: expected a row from 1 to 4, found 'x'"),
    ("coordinate real general\n4 4 1\n1.0 1 1\n", "line 3: expected a row from 1 to 4, found '1.0'"),
    ("coordinate real general\n4 4 1\n1 1\n", "line 3: expected a row, a column and a value, found '1 1'"),
    ("coordinate integer general\n4 4 1\n1 1 1 1", "line 3: expected a row, a column and a value, found '1 1 1 1'"),
    ("coordinate pattern general\n4 4 1\n1 1 1\n", "line 3: expected a row and a column, found '1 1 1'"),
    ("coordinate real general\n4 4 1\n1 1 1.5D3\n", "line 3: expected a number such as -1.5e3, found '1.5D3'"),
    (
        "coordinate integer general\n4 4 1\n1 1 9223372036854775808\n",
        "line 3: expected a 64-bit integer, or unsigned-integer instead of integer in the first line, \
         found 9223372036854775808",
    ),
    (
        "coordinate integer general\n4 4 1\n1 1 18446744073709551616\n",
        "line 3: expected a 64-bit integer, found 18446744073709551616",
    ),
    ("coordinate unsigned-integer general\n4 4 1\n1 1 -1\n", "line 3: expected an unsigned 64-bit integer, found -1"),
    (
        "coordinate unsigned-integer skew-symmetric\n4 4 1\n2 1 9223372036854775808\n",
        "line 3: expected a 64-bit integer, found 9223372036854775808",
    ),
    (
        "coordinate integer skew-symmetric\n4 4 1\n1 2 -9223372036854775808\n",
        "line 3: expected an integer whose negative fits 64 bits, found -9223372036854775808",
    ),
    (
        "coordinate real skew-symmetric\n4 4 1\n2 2 1\n",
        "line 3: expected zero on the diagonal of a skew-symmetric matrix, found '2 2 1'",
    ),
    ("coordinate real general\n4 4 3\n1 1 1\n", "the header announces 3 entries, the file has 1"),
    ("array real symmetric\n2 2\n1\n1", "the header announces 3 entries, the file has 2"),
    (
        "coordinate real general\n4 4 1\n1 1 1\n\n2 2 2\n",
        "line 5: expected the end of the file after entry 1, found '2 2 2'",
    ),
    ("array real general\n2 1\n1 2\n", "line 3: expected one value, found '1 2'"),
    (
        "array real general\n1 1\nnot a number that could be shown in whole in a sentence\n",
        "line 3: expected one value, found 'not a number that could be shown in whol…'",
    ),
];

fn with_banner(text: &str) -> String {
    format!("%%MatrixMarket matrix {text}")
}

#[test]
fn every_type_of_matrix_is_read() {
    for (text, entries) in matrices() {
        let text = with_banner(text);
        assert_eq!(reference_read(&text).as_ref(), Some(&entries), "{text}");
        assert_eq!(whole(text.as_bytes()), Ok(entries), "{text}");
    }
}

#[test]
fn every_error_has_its_message() {
    for (text, reason) in MALFORMED {
        let text = with_banner(text);
        assert_eq!(reference_read(&text), None, "{text}");
        assert_eq!(whole(text.as_bytes()), Err(reason.to_owned()), "{text}");
    }
    let text = [with_banner("coordinate real general\n4 4 1\n1 1 ").as_bytes(), b"\xff\xfe\n"].concat();
    assert_eq!(whole(&text), Err("line 3: expected a number such as -1.5e3, found '\u{fffd}\u{fffd}'".to_owned()));
}

#[test]
fn chunk_boundaries_do_not_matter() {
    let texts = matrices().into_iter().map(|(text, _)| text).chain(MALFORMED.map(|(text, _)| text));
    for text in texts.map(with_banner) {
        let (text, expected) = (text.as_bytes(), whole(text.as_bytes()));
        for capacity in [0, 1, 2, 3, 8192] {
            for at in 0..=text.len() {
                let (first, second) = text.split_at(at);
                assert_eq!(read([first, second].into_iter(), capacity), expected);
            }
            assert_eq!(read(text.chunks(1), capacity), expected);
            assert_eq!(read(text.chunks(7), capacity), expected);
        }
    }
}

/// A deterministic generator (Knuth's MMIX), so that failures are reproducible.
fn random(state: &mut u64, below: usize) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap() % below
}

#[test]
fn random_texts_are_read_as_the_reference_does() {
    const KINDS: [&str; 9] = [
        "coordinate unsigned-integer general",
        "coordinate real general",
        "coordinate integer symmetric",
        "coordinate integer skew-symmetric",
        "coordinate pattern symmetric",
        "Array real general",
        "array INTEGER symmetric",
        "array real skew-symmetric",
        "array pattern general",
    ];
    const VALUES: [&str; 12] = ["1", "2", "2", "3", "3", "1", "-4", "0", "1.5", "+7", "1e2", "%"];
    let mut state = 7;
    let mut read = 0;
    for _ in 0..20_000 {
        let kind = KINDS[random(&mut state, KINDS.len())];
        let is_array = kind.starts_with(['a', 'A']);
        let lines = random(&mut state, 7);
        let mut text = with_banner(kind) + if is_array { "\n3 3\n" } else { "\n3 3 " };
        let lines = if is_array { [9, 6, 3][random(&mut state, 3)] } else { lines };
        if !is_array {
            text += &format!("{lines}\n");
        }
        for _ in 0..lines {
            let words = if is_array { 1 } else { 3 - usize::from(kind.contains("pattern")) };
            for _ in 0..words {
                // Mostly valid rows and columns.
                let known = if random(&mut state, 12) == 0 { VALUES.len() } else { 6 };
                text += VALUES[random(&mut state, known)];
                text += [" ", "\t", "  "][random(&mut state, 3)];
            }
            text += ["\n", "\r\n", "\n\n", "\n % \n"][random(&mut state, 4)];
        }
        let expected = reference_read(&text);
        read += usize::from(expected.is_some());
        assert_eq!(whole(text.as_bytes()).ok(), expected, "{text}");
    }
    assert!(read > 2_000, "only {read} texts could be read");
}

#[test]
fn arbitrary_bytes_do_not_panic() {
    const ALPHABET: &[u8] = b"0123456789 \n\r\t%+-.eEdinf\0\xff\xc3\xa9";
    let mut state = 11;
    for number in 0..20_000 {
        let matrices = matrices();
        let kind = matrices[number % matrices.len()].0;
        let mut text = with_banner(kind).into_bytes();
        for _ in 0..1 + random(&mut state, 6) {
            let (at, byte) = (random(&mut state, text.len()), ALPHABET[random(&mut state, ALPHABET.len())]);
            match random(&mut state, 3) {
                0 => text[at] = byte,
                1 => text.insert(at, byte),
                _ => drop(text.split_off(at)),
            }
            text.push(byte);
        }
        let expected = whole(&text);
        assert_eq!(read(text.chunks(5), 3), expected);
        let noise: Vec<u8> = (0..40).map(|_| u8::try_from(random(&mut state, 256)).unwrap()).collect();
        assert!(whole(&noise).is_err());
    }
}

#[test]
fn columns_outside_the_projection_stay_empty() {
    let text = with_banner("coordinate real general\n2 2 2\n1 1 1\n2 2 2\n");
    let mut rest = text.as_bytes();
    let mut entries = HeaderParser::default().push(&mut rest).unwrap().unwrap();
    let mut block = CooBatch::new(entries.header(), 10, [false, true, false]);
    entries.push(&mut rest, &mut block).unwrap();
    assert_eq!((block.len(), block.rows.len(), block.columns, block.reals.len()), (2, 0, vec![0, 1], 0));
}
