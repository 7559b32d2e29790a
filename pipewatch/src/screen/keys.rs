//! Bytes of a terminal as keys. crossterm would read them too, but what it does when the
//! terminal is gone is to read for ever, and half of a sequence makes it wait for the rest
//! (0.29.0, `event/source/unix/mio.rs`): then nobody would give the terminal back.

use crate::render::top::Key;

/// Takes keys apart that came in one read. What begins there and does not end there is
/// dropped, so that ESC alone is a key.
pub(super) fn keys(bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    let mut rest = bytes;
    while let Some((key, after)) = first(rest) {
        keys.extend(key);
        rest = after;
    }
    keys
}

/// The first key, if it is one that means something, and what comes after it.
fn first(bytes: &[u8]) -> Option<(Option<Key>, &[u8])> {
    let (&byte, rest) = bytes.split_first()?;
    let key = match byte {
        b'\r' | b'\n' => Key::Enter,
        // Ctrl-C, and Ctrl-\, by which a terminal sends SIGQUIT where nobody has taken it.
        0x03 | 0x1c => Key::Interrupt,
        0x1a => Key::Suspend,
        0x08 | 0x7f => Key::Backspace,
        0x1b => return Some(escape(rest)),
        byte if byte.is_ascii_control() => return Some((None, rest)),
        byte => return Some(letter(byte, bytes)),
    };
    Some((Some(key), rest))
}

/// After ESC: a sequence as xterm and its likes send it, or nothing.
fn escape(bytes: &[u8]) -> (Option<Key>, &[u8]) {
    let Some((b'[' | b'O', rest)) = bytes.split_first() else {
        return (Some(Key::Escape), bytes);
    };
    let length = rest
        .iter()
        .take_while(|byte| !(0x40..=0x7e).contains(*byte));
    let length = length.count();
    let (parameters, after) = rest.split_at(length);
    let Some((&last, after)) = after.split_first() else {
        return (None, after);
    };
    let key = match (parameters, last) {
        (_, b'A') => Some(Key::Up),
        (_, b'B') => Some(Key::Down),
        (_, b'H') | (b"1" | b"7", b'~') => Some(Key::Home),
        (_, b'F') | (b"4" | b"8", b'~') => Some(Key::End),
        (b"5", b'~') => Some(Key::PageUp),
        (b"6", b'~') => Some(Key::PageDown),
        _ => None,
    };
    (key, after)
}

/// A letter in UTF-8, which begins with this byte.
fn letter(byte: u8, bytes: &[u8]) -> (Option<Key>, &[u8]) {
    let length = match byte.leading_ones() {
        ones @ 2..=4 => ones as usize,
        _ => 1,
    };
    let (letter, after) = bytes.split_at(length.min(bytes.len()));
    let letter = std::str::from_utf8(letter).ok();
    (
        letter.and_then(|text| text.chars().next()).map(Key::Char),
        after,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        let expectations: &[(&[u8], &[Key])] = &[
            (b"q", &[Key::Char('q')]),
            (b"jk\r", &[Key::Char('j'), Key::Char('k'), Key::Enter]),
            (b"\x1b", &[Key::Escape]),
            (b"\x1b\x1b", &[Key::Escape, Key::Escape]),
            (b"\x1b[A\x1bOB", &[Key::Up, Key::Down]),
            (b"\x1b[5~\x1b[6~", &[Key::PageUp, Key::PageDown]),
            (b"\x1b[1;5Aq", &[Key::Up, Key::Char('q')]),
            (b"\x1b[H\x1b[4~", &[Key::Home, Key::End]),
            // What is not known is nothing.
            (b"\x1b[15~q", &[Key::Char('q')]),
            // What is cut off is nothing either.
            (b"q\x1b[1", &[Key::Char('q')]),
            (b"q\xc3", &[Key::Char('q')]),
            ("ä😀".as_bytes(), &[Key::Char('ä'), Key::Char('😀')]),
            (b"\xffq", &[Key::Char('q')]),
            (
                b"\x03\x1c\x1a\x7f\x01",
                &[Key::Interrupt, Key::Interrupt, Key::Suspend, Key::Backspace],
            ),
        ];
        for (bytes, expected) in expectations {
            assert_eq!(keys(bytes), *expected, "{}", bytes.escape_ascii());
        }
    }
}
