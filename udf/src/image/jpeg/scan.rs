//! [`decode_planes`] decodes all scans of a JPEG file to the samples of its components.

use super::blocks::State;
use super::frame::Frame;
use super::huffman::{BitReader, HuffmanTable};
use super::planes::{Component, Plane};
use super::segments::{END_OF_IMAGE, START_OF_SCAN, Segments};
use super::tables::Tables;
use super::{DAMAGED, Invalid};

/// A scan header.
struct ScanHeader {
    members: Vec<Member>,
    /// The coefficients, in zigzag order.
    spectrum: (usize, usize),
    /// How many low bits are missing before the scan, if it is not the first, and after it.
    approximation: (u8, u8),
}

/// A component in a scan.
struct Member {
    /// The index of the component in the frame.
    component: usize,
    /// The indices of its tables.
    dc: usize,
    ac: usize,
}

/// Files have about ten. A scan of a few bytes can refer to all blocks, so that the time is not bounded by the length of the file.
const MAX_SCANS: usize = 200;

/// The largest number of blocks in a minimum coded unit of an interleaved scan, by the standard.
const MAX_UNIT_BLOCKS: usize = 10;

/// Decodes the file up to the end of its last scan. `tables` are those that are defined before the file.
pub(super) fn decode_planes(bytes: &[u8], frame: &Frame, mut tables: Tables) -> Result<Vec<Plane>, Invalid> {
    let new_component = |declared| Component::new(frame, declared);
    let mut components: Vec<Component> = frame.components.iter().map(new_component).collect();
    let mut segments = Segments::new(bytes);
    let mut scans = 0;
    while let Some(segment) = segments.next() {
        match segment.marker {
            START_OF_SCAN if scans == MAX_SCANS => return Err(Invalid::Corrupt("it has more than 200 scans")),
            START_OF_SCAN => {
                scans += 1;
                let scan = ScanHeader::parse(segment.payload, frame)?;
                for Member { component, .. } in &scan.members {
                    let component_table = frame.components[*component].table;
                    let table = tables.quantization.get(component_table).copied().flatten();
                    components[*component].quantization = components[*component].quantization.or(table);
                }
                let mut reader = BitReader::new(bytes, segment.end);
                decode_scan(&mut reader, &scan, &tables, frame, &mut components)?;
                if !frame.is_progressive && scan.members.len() == frame.components.len() {
                    return Ok(components.into_iter().map(Component::into_plane).collect());
                }
                segments.skip_to(reader.offset());
            }
            END_OF_IMAGE => return components.into_iter().map(Component::finish).collect(),
            _ => tables.define(&segment)?,
        }
    }
    Err(Invalid::Truncated)
}

impl ScanHeader {
    fn parse(payload: &[u8], frame: &Frame) -> Result<Self, Invalid> {
        const INVALID: Invalid = Invalid::Corrupt("a scan header is invalid");
        let (count, rest) = payload.split_first().ok_or(INVALID)?;
        let (selectors, parameters) = rest.split_at_checked(usize::from(*count) * 2).ok_or(INVALID)?;
        let &[start, end, bits]: &[u8; 3] = parameters.try_into().map_err(|_| INVALID)?;
        let mut members: Vec<Member> = Vec::new();
        for (at, &[id, tables]) in selectors.as_chunks::<2>().0.iter().enumerate() {
            // The standard demands the order of the frame. Of components with the same name, which it does not allow, the next one counts,
            // as in libjpeg-turbo.
            let mut candidates = frame.components.iter().enumerate().skip(at);
            let (component, _) = candidates.find(|(_, component)| component.id == id).ok_or(INVALID)?;
            if members.iter().any(|member| member.component == component) {
                return Err(INVALID);
            }
            members.push(Member { component, dc: usize::from(tables >> 4), ac: usize::from(tables & 15) });
        }
        let blocks = |member: &Member| {
            let (horizontal, vertical) = frame.components[member.component].sampling;
            horizontal * vertical
        };
        if members.is_empty() {
            return Err(INVALID);
        }
        if members.len() > 1 && members.iter().map(blocks).sum::<usize>() > MAX_UNIT_BLOCKS {
            return Err(Invalid::Corrupt("a scan has more than 10 blocks in its unit"));
        }
        if !frame.is_progressive {
            return Ok(Self { members, spectrum: (0, 63), approximation: (0, 0) });
        }
        let (high, low) = (bits >> 4, bits & 15);
        let is_spectrum = if start == 0 { end == 0 } else { start <= end && end < 64 && members.len() == 1 };
        let is_approximation = low <= 13 && (high == 0 || high == low + 1);
        if !is_spectrum || !is_approximation {
            return Err(INVALID);
        }
        Ok(Self { members, spectrum: (usize::from(start), usize::from(end)), approximation: (high, low) })
    }
}

/// What decoding a scan needs of a component.
struct ScanPart<'t> {
    component: usize,
    dc: Option<&'t HuffmanTable>,
    ac: Option<&'t HuffmanTable>,
    /// The blocks in a unit, horizontal and vertical.
    blocks: (usize, usize),
}

/// Decodes a scan into the planes, or into the coefficients of a progressive file.
fn decode_scan(
    reader: &mut BitReader<'_>,
    scan: &ScanHeader,
    tables: &Tables,
    frame: &Frame,
    components: &mut [Component],
) -> Result<(), Invalid> {
    let (columns, rows) = match scan.members.as_slice() {
        [only] => components[only.component].blocks,
        _ => frame.units(),
    };
    let part = |&Member { component, dc, ac }: &Member| {
        let blocks = if scan.members.len() == 1 { (1, 1) } else { frame.components[component].sampling };
        ScanPart { component, dc: tables.dc(dc), ac: tables.ac(ac), blocks }
    };
    let parts: Vec<ScanPart<'_>> = scan.members.iter().map(part).collect();
    let (start, end) = scan.spectrum;
    let (high, low) = scan.approximation;
    let interval = tables.restart_interval;
    let mut state = State::new(low);
    let (mut units_left, mut restart) = (interval, 0);
    for row in 0..rows {
        for column in 0..columns {
            if interval > 0 && units_left == 0 {
                reader.restart(restart)?;
                state = State::new(low);
                (units_left, restart) = (interval, (restart + 1) % 8);
            }
            units_left = units_left.saturating_sub(1);
            for (member, part) in parts.iter().enumerate() {
                let component = &mut components[part.component];
                let (dc, ac) = (|| part.dc.ok_or(NO_TABLE), || part.ac.ok_or(NO_TABLE));
                for y in 0..part.blocks.1 {
                    for x in 0..part.blocks.0 {
                        let at = (column * part.blocks.0 + x, row * part.blocks.1 + y);
                        if !frame.is_progressive {
                            state.sequential(reader, dc()?, ac()?, member, component, at)?;
                            continue;
                        }
                        let block = component.block(at)?;
                        match (start, high) {
                            (0, 0) => state.dc_first(reader, dc()?, member, block)?,
                            (0, _) => state.dc_refinement(reader, block),
                            (_, 0) => state.ac_first(reader, ac()?, (start, end), block)?,
                            _ => state.ac_refinement(reader, ac()?, (start, end), block)?,
                        }
                    }
                }
            }
            if reader.is_exhausted() {
                return Err(DAMAGED);
            }
        }
    }
    for part in &parts {
        components[part.component].missing_bits[start..=end].fill(Some(low));
    }
    Ok(())
}

const NO_TABLE: Invalid = Invalid::Corrupt("a Huffman table is missing or invalid");

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of three components with these names and numbers of blocks in a unit.
    fn frame(ids: [u8; 3], sampling: [u8; 3]) -> Frame {
        let components: Vec<u8> = ids.into_iter().zip(sampling).flat_map(|(id, sampling)| [id, sampling, 0]).collect();
        Frame::parse(0xc0, &[&[8, 0, 9, 0, 9, 3][..], &components].concat()).ok().unwrap()
    }

    /// The components that a scan header with these names refers to, or the error.
    fn components(frame: &Frame, ids: &[u8]) -> Result<Vec<usize>, String> {
        let selectors: Vec<u8> = ids.iter().flat_map(|id| [*id, 0]).collect();
        let payload = [&[ids.len() as u8][..], &selectors, &[0, 63, 0]].concat();
        match ScanHeader::parse(&payload, frame) {
            Ok(scan) => Ok(scan.members.iter().map(|member| member.component).collect()),
            Err(error) => Err(format!("{error:?}")),
        }
    }

    #[test]
    fn components_have_the_order_of_the_frame() {
        let frame_123 = frame([1, 2, 3], [0x11; 3]);
        assert_eq!(components(&frame_123, &[1, 2, 3]), Ok(vec![0, 1, 2]));
        assert_eq!(components(&frame_123, &[2, 3]), Ok(vec![1, 2]));
        for ids in [[3, 2, 1], [2, 1, 3], [1, 3, 2], [1, 2, 2], [1, 2, 4]] {
            let error = components(&frame_123, &ids).unwrap_err();
            assert_eq!(error, "Corrupt(\"a scan header is invalid\")", "{ids:?}");
        }
        // Equal names, which Pillow reads, too.
        assert_eq!(components(&frame([1, 1, 1], [0x11; 3]), &[1, 1, 1]), Ok(vec![0, 1, 2]));
        assert_eq!(components(&frame([1, 1, 2], [0x11; 3]), &[1, 1, 2]), Ok(vec![0, 1, 2]));
    }

    #[test]
    fn a_unit_has_at_most_ten_blocks() {
        assert!(components(&frame([1, 2, 3], [0x42, 0x11, 0x11]), &[1, 2, 3]).is_ok());
        let large = frame([1, 2, 3], [0x42, 0x21, 0x11]);
        let error = "Corrupt(\"a scan has more than 10 blocks in its unit\")";
        assert_eq!(components(&large, &[1, 2, 3]), Err(error.to_owned()));
        // A scan of one component has units of one block.
        assert_eq!(components(&large, &[1]), Ok(vec![0]));
    }

    #[test]
    fn scan_headers_have_one_length() {
        let frame = frame([1, 2, 3], [0x11; 3]);
        assert!(ScanHeader::parse(&[1, 1, 0, 0, 63, 0], &frame).is_ok());
        for payload in [&[][..], &[0, 0, 63, 0], &[1, 1, 0, 0, 63], &[1, 1, 0, 0, 63, 0, 0], &[2, 1, 0, 0, 63, 0]] {
            assert!(ScanHeader::parse(payload, &frame).is_err(), "{payload:?}");
        }
    }
}
