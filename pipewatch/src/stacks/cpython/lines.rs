//! From an instruction to the line of source it is of, as each release of CPython
//! writes that down beside the code.

/// How a code object's table of lines is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    /// Up to 3.9: pairs of steps, of bytecode and of lines (`Objects/lnotab_notes.txt`).
    Pairs,
    /// 3.10: pairs of the length of a range and the step to its line, -128 for a
    /// range that is of no line (PEP 626).
    Ranges,
    /// From 3.11 on: entries of a range's length and, in five forms, its location
    /// (`Objects/locations.md`).
    Locations,
}

/// The line of the instruction that begins `offset` bytes into the code; `None` if
/// the table has none for it, or is damaged.
pub(super) fn line(table: Table, bytes: &[u8], first: i32, offset: u64) -> Option<u32> {
    let line = match table {
        Table::Pairs => pairs(bytes, first, offset),
        Table::Ranges => ranges(bytes, first, offset),
        Table::Locations => locations(bytes, first, offset),
    };
    line.and_then(|line| u32::try_from(line).ok())
        .filter(|line| *line > 0)
}

fn pairs(bytes: &[u8], first: i32, offset: u64) -> Option<i32> {
    let (mut at, mut line) = (0, first);
    for pair in bytes.chunks_exact(2) {
        at += u64::from(pair[0]);
        if at > offset {
            break;
        }
        line = line.checked_add(i32::from(pair[1].cast_signed()))?;
    }
    Some(line)
}

fn ranges(bytes: &[u8], first: i32, offset: u64) -> Option<i32> {
    const NO_LINE: i8 = -128;
    let (mut end, mut line) = (0, first);
    for pair in bytes.chunks_exact(2) {
        end += u64::from(pair[0]);
        let step = pair[1].cast_signed();
        if step != NO_LINE {
            line = line.checked_add(i32::from(step))?;
        }
        if offset < end {
            return (step != NO_LINE).then_some(line);
        }
    }
    None
}

fn locations(bytes: &[u8], first: i32, offset: u64) -> Option<i32> {
    /// Bytes of a code unit.
    const UNIT: u64 = 2;
    let mut bytes = bytes.iter().copied().peekable();
    let (mut end, mut line) = (0, first);
    while let Some(head) = bytes.next() {
        // Only an entry's first byte has the highest bit.
        if head & 0x80 == 0 {
            return None;
        }
        end += (u64::from(head & 7) + 1) * UNIT;
        let form = (head >> 3) & 0xf;
        let step = match form {
            10..=12 => i32::from(form) - 10,
            13 | 14 => signed(&mut bytes)?,
            _ => 0,
        };
        line = line.checked_add(step)?;
        if offset < end {
            return (form != 15).then_some(line);
        }
        // Columns, which nobody asked for.
        while bytes.next_if(|byte| byte & 0x80 == 0).is_some() {}
    }
    None
}

/// A number in groups of six bits, the lowest first; its lowest bit is the sign.
fn signed(bytes: &mut impl Iterator<Item = u8>) -> Option<i32> {
    let (mut number, mut shift) = (0u32, 0);
    loop {
        let byte = bytes.next()?;
        number |= u32::from(byte & 0x3f).checked_shl(shift)?;
        if byte & 0x40 == 0 {
            let size = i32::try_from(number >> 1).ok()?;
            return Some(if number & 1 == 1 { -size } else { size });
        }
        shift += 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_step_through_code_and_lines() {
        // 6 bytes of the first line, 8 of the next but one, then a step back.
        let table = [6, 2, 8, 0xff];
        let at = |offset| line(Table::Pairs, &table, 10, offset);
        assert_eq!(
            [at(0), at(5), at(6), at(13), at(14), at(99)],
            [10, 10, 12, 12, 11, 11].map(Some)
        );
    }

    #[test]
    fn a_range_may_be_of_no_line() {
        let table = [4, 1, 2, 0x80, 6, 0xfe];
        let at = |offset| line(Table::Ranges, &table, 10, offset);
        assert_eq!(
            [at(0), at(3), at(4), at(6), at(12)],
            [Some(11), Some(11), None, Some(9), None]
        );
    }

    #[test]
    fn locations_have_five_forms() {
        let head = |form: u8, units: u8| 0x80 | (form << 3) | (units - 1);
        let table = [
            // Short, of the same line.
            &[head(0, 2), 0x11][..],
            // One line, next.
            &[head(11, 1), 3, 9],
            // Long, 40 lines further: 80 in groups of six bits.
            &[head(14, 3), 0x40 | 0x10, 0x01, 0, 1, 2],
            // None.
            &[head(15, 1)],
            // No column, one line back.
            &[head(13, 8), 3],
        ]
        .concat();
        let at = |offset| line(Table::Locations, &table, 100, offset);
        assert_eq!(
            [
                at(0),
                at(3),
                at(4),
                at(6),
                at(11),
                at(12),
                at(14),
                at(29),
                at(30)
            ],
            [
                Some(100),
                Some(100),
                Some(101),
                Some(141),
                Some(141),
                None,
                Some(140),
                Some(140),
                None
            ]
        );
    }

    #[test]
    fn damaged_tables_have_no_lines_and_do_no_harm() {
        for table in [Table::Pairs, Table::Ranges, Table::Locations] {
            for bytes in [
                &[][..],
                &[0x7f],
                &[0xf7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
                &[0xff; 64],
            ] {
                let _ = line(table, bytes, i32::MAX, 1);
            }
        }
        assert_eq!(line(Table::Locations, &[0x01], 1, 0), None);
    }
}
