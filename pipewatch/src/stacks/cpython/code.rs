//! What a code object in the memory of a process says of itself.

use pipewatch_ebpf::abi::PythonFrame;

use super::{
    layout::Object,
    lines::{self, Table},
};

/// Memory of a process: as many bytes at an address as can be read of those asked
/// for.
pub(super) trait Memory {
    fn bytes(&self, address: u64, length: usize) -> Vec<u8>;
}

/// What a frame executes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Executed {
    /// Code, at a place.
    Code(Place),
    /// Nothing: since 3.12 the interpreter puts a frame of its own where it is called.
    Entry,
    /// What it was is not there, or not any more.
    Gone,
}

/// A place in Python code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Name of the function, with that of its class where the release tells it.
    pub(super) function: String,
    /// Path of the source.
    pub(super) file: String,
    /// The line.
    pub(super) line: Option<u32>,
}

/// Offsets that no release of CPython 3 up to 3.13 has changed: `ob_type`, the size
/// of objects that have one, a type's name, the length of a text and how it is kept,
/// and where bytes begin.
const TYPE: u64 = 8;
const SIZE: u64 = 16;
const TYPE_NAME: u64 = 24;
const TEXT_LENGTH: u64 = 16;
const TEXT_STATE: u64 = 32;
const BYTES: u64 = 32;
/// Of `PyASCIIObject.state`: bytes per character, and whether they lie behind it.
const KIND: u32 = 0b1_1100;
const ONE_BYTE: u32 = 0b0_0100;
const COMPACT: u32 = 0b10_0000;
const ASCII: u32 = 0b100_0000;
/// What `PyCompactUnicodeObject` has more than `PyASCIIObject`.
const MORE: u64 = 24;
const MORE_SINCE_3_12: u64 = 16;
/// Longer names and paths are not read, in characters.
const LONGEST_TEXT: u64 = 4096;
/// Nor longer tables of lines, in bytes.
const LONGEST_TABLE: u64 = 1 << 20;

/// What a frame executes.
pub(super) fn executed(memory: &dyn Memory, object: &Object, frame: PythonFrame) -> Executed {
    // In 3.12 its code is a static object, in 3.13 there is none.
    const ENTRY: &str = "<shim>";
    match type_name(memory, frame.code).as_deref() {
        Some(b"code\0") => match place(memory, object, frame) {
            Some(place) if place.file == ENTRY => Executed::Entry,
            Some(place) => Executed::Code(place),
            None => Executed::Gone,
        },
        Some(b"NoneT") => Executed::Entry,
        Some(_) | None => Executed::Gone,
    }
}

/// How the name of an object's type begins.
fn type_name(memory: &dyn Memory, object: u64) -> Option<Vec<u8>> {
    let kind = word(memory, object.checked_add(TYPE)?)?;
    let name = word(memory, kind.checked_add(TYPE_NAME)?)?;
    Some(memory.bytes(name, 5))
}

/// The place of a frame. `None` if its code object is not the one that was there.
fn place(memory: &dyn Memory, object: &Object, frame: PythonFrame) -> Option<Place> {
    let PythonFrame { code, mark, place } = frame;
    let read = |address: Option<u64>| word(memory, address?);
    let member = |offset: u64| read(code.checked_add(offset));

    let mut names = [0; 4];
    for (name, offset) in names.iter_mut().zip((u64::from(object.file)..).step_by(8)) {
        *name = member(offset)?;
    }
    if object.mark(names) != mark || !is_alive(member(0)?) {
        return None;
    }
    let offset = match object.table {
        Table::Pairs => Some(u64::from(place as u32)),
        // Counted in code units.
        Table::Ranges => Some(u64::from(place as u32) * 2),
        Table::Locations => {
            let units = member(SIZE)?;
            let begin = code.checked_add(object.instructions)?;
            let inside = |offset: &u64| *offset < units.saturating_mul(2);
            place.checked_sub(begin).filter(inside)
        }
    };
    let line = offset.and_then(|offset| {
        let lines = member(object.lines)?;
        let length = read(lines.checked_add(SIZE))?.min(LONGEST_TABLE);
        let table = memory.bytes(lines.checked_add(BYTES)?, usize::try_from(length).ok()?);
        let first = (member(object.first_line)? as u32).cast_signed();
        lines::line(object.table, &table, first, offset)
    });
    Some(Place {
        function: text(memory, object, member(object.name)?)?,
        file: text(memory, object, names[0])?,
        line,
    })
}

/// Whether that is the count of references to an object, and not what an allocator
/// writes there when it has freed it: the address of another free piece, or zero.
fn is_alive(references: u64) -> bool {
    (1..1 << 33).contains(&references)
}

fn word(memory: &dyn Memory, address: u64) -> Option<u64> {
    let bytes = memory.bytes(address, 8);
    Some(u64::from_ne_bytes(bytes.try_into().ok()?))
}

/// A `str` that keeps its characters, as all names of functions and files do.
fn text(memory: &dyn Memory, object: &Object, address: u64) -> Option<String> {
    let length = word(memory, address.checked_add(TEXT_LENGTH)?)?;
    let state = word(memory, address.checked_add(TEXT_STATE)?)? as u32;
    if length > LONGEST_TEXT || state & COMPACT == 0 {
        return None;
    }
    let width = (state & KIND) / ONE_BYTE;
    let more = match (state & ASCII != 0, object.text) {
        (true, _) => 0,
        (false, 40) => MORE_SINCE_3_12,
        (false, _) => MORE,
    };
    let bytes = memory.bytes(
        address.checked_add(object.text + more)?,
        usize::try_from(length).ok()? * width as usize,
    );
    let number = |bytes: &[u8]| {
        let little_endian = bytes.iter().rev();
        little_endian.fold(0, |number, &byte| number << 8 | u32::from(byte))
    };
    let characters = match width {
        1 | 2 | 4 => bytes.chunks_exact(width as usize).map(number),
        _ => return None,
    };
    let text: String = characters.map(char::from_u32).collect::<Option<_>>()?;
    (text.chars().count() as u64 == length).then_some(text)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{super::layout::Layout, *};

    /// Memory that is there in pieces.
    #[derive(Default)]
    struct Pieces(BTreeMap<u64, u8>);

    impl Pieces {
        fn put(&mut self, address: u64, bytes: &[u8]) {
            self.0.extend((address..).zip(bytes.iter().copied()));
        }

        fn put_word(&mut self, address: u64, word: u64) {
            self.put(address, &word.to_ne_bytes());
        }

        fn put_text(
            &mut self,
            address: u64,
            state: u32,
            characters: u64,
            length: u64,
            bytes: &[u8],
        ) {
            self.put_word(address + TEXT_LENGTH, length);
            self.put_word(address + TEXT_STATE, u64::from(state));
            self.put(address + characters, bytes);
        }
    }

    impl Memory for Pieces {
        fn bytes(&self, address: u64, length: usize) -> Vec<u8> {
            let there = (address..).map_while(|at| self.0.get(&at).copied());
            there.take(length).collect()
        }
    }

    const CODE: u64 = 0x1000;
    const LINES: u64 = 0x3000;

    /// A code object of 3.11: four code units, in lines 8 and 9.
    fn code_object() -> (Pieces, Object) {
        let object = Layout::of(11).expect("3.11").object;
        let mut memory = Pieces::default();
        memory.put_word(CODE, 3);
        memory.put_word(CODE + TYPE, 0x2000);
        memory.put_word(0x2000 + TYPE_NAME, 0x2100);
        memory.put(0x2100, b"code\0");
        memory.put_word(CODE + SIZE, 4);
        memory.put_word(CODE + object.first_line, 7 | 99 << 32);
        memory.put_word(CODE + object.lines, LINES);
        memory.put_word(LINES + SIZE, 6);
        memory.put(
            LINES + BYTES,
            &[0x80 | 11 << 3 | 1, 1, 2, 0x80 | 11 << 3 | 1, 1, 2],
        );
        memory.put_word(CODE + 120, 0x4100);
        memory.put_word(CODE + object.name, 0x4000);
        memory.put_text(0x4000, ONE_BYTE | COMPACT | ASCII, 48, 4, b"f.up");
        memory.put_word(CODE + u64::from(object.file), 0x5000);
        let latin = ONE_BYTE | COMPACT;
        memory.put_text(0x5000, latin, 72, 5, b"/\xe9.py");
        (memory, object)
    }

    fn at(unit: u64) -> PythonFrame {
        let object = Layout::of(11).expect("3.11").object;
        PythonFrame {
            code: CODE,
            mark: object.mark([0x5000, 0x4100, 0x4000, LINES]),
            place: CODE + object.instructions + 2 * unit,
        }
    }

    #[test]
    fn a_code_object_tells_function_file_and_line() {
        let (memory, object) = code_object();
        let of = |unit| match executed(&memory, &object, at(unit)) {
            Executed::Code(place) => place,
            other @ (Executed::Entry | Executed::Gone) => panic!("{other:?}"),
        };
        let expected = Place {
            function: "f.up".to_owned(),
            file: "/é.py".to_owned(),
            line: Some(8),
        };
        assert_eq!(of(0), expected);
        assert_eq!(of(2).line, Some(9));
        assert_eq!(of(4).line, None, "behind the code");
    }

    #[test]
    fn what_is_another_object_now_is_no_place() {
        let (mut memory, object) = code_object();
        let other = PythonFrame {
            mark: 0x7000,
            ..at(0)
        };
        let of = |memory: &Pieces, frame| executed(memory, &object, frame);
        assert_eq!(of(&memory, other), Executed::Gone);
        assert_eq!(of(&Pieces::default(), at(0)), Executed::Gone);
        let nowhere = PythonFrame {
            code: u64::MAX,
            ..at(0)
        };
        assert_eq!(of(&memory, nowhere), Executed::Gone);
        memory.put_word(CODE, 0x7f00_1234_5678);
        assert_eq!(of(&memory, at(0)), Executed::Gone, "it has been freed");
        memory.put(0x2100, b"cell\0");
        assert_eq!(of(&memory, at(0)), Executed::Gone);
        memory.put(0x2100, b"NoneType\0");
        assert_eq!(of(&memory, at(0)), Executed::Entry);
    }

    #[test]
    fn text_is_read_in_each_width_and_not_if_it_is_damaged() {
        let (mut memory, object) = code_object();
        let mut of = |state, length, bytes: &[u8]| {
            memory.put_text(0x6000, state | COMPACT, 72, length, bytes);
            text(&memory, &object, 0x6000)
        };
        assert_eq!(
            of(2 * ONE_BYTE, 2, &[0xac, 0x20, b'x', 0]).as_deref(),
            Some("€x")
        );
        assert_eq!(
            of(4 * ONE_BYTE, 1, &[0, 0xf6, 1, 0]).as_deref(),
            Some("\u{1f600}")
        );
        assert_eq!(of(3 * ONE_BYTE, 1, b"abc"), None);
        assert_eq!(of(ONE_BYTE, u64::MAX, b"a"), None);
        assert_eq!(of(ONE_BYTE, 90, b"a"), None, "it ends before");
        assert_eq!(of(4 * ONE_BYTE, 1, &[0, 0, 0x11, 0]), None, "no character");
    }
}
