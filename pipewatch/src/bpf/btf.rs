//! The kernel's account of its own types (BTF, `include/uapi/linux/btf.h`), read
//! in place. pipewatch asks for a hundred of a hundred thousand types, once, so
//! nothing is built of the others.

use std::{collections::BTreeSet, ffi::CStr};

use zerocopy::{
    FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
    native_endian::{U16, U32},
};

use super::{NotLoaded, vmlinux};
use crate::problem::Problem;

pub(super) const MAGIC: u16 = 0xeb9f;
pub(super) const VERSION: u8 = 1;
/// No type in C is reached through as many others, one after the other; what is
/// longer is a circle.
const LONGEST_CHAIN: usize = 64;

/// Why bytes are no type information.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// They do not begin as the format demands.
    #[error("it does not begin like BTF of this machine")]
    Header,
    /// A section or a type is longer than what there is.
    #[error("it is cut short")]
    Short,
    /// How long such a type is, and so where the next begins, is not known.
    #[error("type {id} is of an unknown kind, {kind}")]
    Kind {
        /// Number of the type.
        id: usize,
        /// Number of the kind.
        kind: u32,
    },
}

impl From<Unreadable> for NotLoaded {
    fn from(error: Unreadable) -> Self {
        Problem::new(
            format!(
                "cannot understand the kernel's type information {}: {error}",
                vmlinux::PATH
            ),
            "report this with the output of `uname -a`",
        )
        .into()
    }
}

/// The beginning of `btf_header`. Linux may append to it, and tells its length.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Header {
    pub(super) magic: U16,
    pub(super) version: u8,
    pub(super) flags: u8,
    pub(super) length: U32,
    pub(super) types_at: U32,
    pub(super) types_length: U32,
    pub(super) names_at: U32,
    pub(super) names_length: U32,
}

/// `btf_type`, which every type begins with.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct Head {
    pub(super) name: U32,
    pub(super) info: U32,
    pub(super) of: U32,
}

/// A member of a structure or union (`btf_member`).
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Member {
    name: U32,
    /// Its type.
    pub of: U32,
    place: U32,
}

/// A parameter of a function (`btf_param`).
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Parameter {
    name: U32,
    /// Its type.
    pub of: U32,
}

/// What an array is made of (`btf_array`).
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Array {
    of: U32,
    index: U32,
    count: U32,
}

/// What a type is, as far as somebody asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An integer, float or enumeration.
    Number,
    /// To another type.
    Pointer,
    /// Of another type.
    Array,
    /// The definition, with its members.
    Struct,
    /// The same.
    Union,
    /// Of a structure or union, without its members.
    Declaration,
    /// Another name of a type.
    Typedef,
    /// `const`, `volatile`, `restrict` or a tag, of another type.
    Qualifier,
    /// A function by name; what it is of is its prototype.
    Function,
    /// The parameters of functions.
    Prototype,
    /// Variables, their sections, and tags of declarations.
    Other,
}

impl Kind {
    /// A kind by its number, with the bytes that follow the head, once and for
    /// each entry.
    fn numbered(number: u32) -> Option<(Self, usize, usize)> {
        Some(match number {
            1 => (Self::Number, 4, 0),
            2 => (Self::Pointer, 0, 0),
            3 => (Self::Array, size_of::<Array>(), 0),
            4 => (Self::Struct, 0, size_of::<Member>()),
            5 => (Self::Union, 0, size_of::<Member>()),
            6 => (Self::Number, 0, 8),
            7 => (Self::Declaration, 0, 0),
            8 => (Self::Typedef, 0, 0),
            9..=11 | 18 => (Self::Qualifier, 0, 0),
            12 => (Self::Function, 0, 0),
            13 => (Self::Prototype, 0, size_of::<Parameter>()),
            14 | 17 => (Self::Other, 4, 0),
            15 => (Self::Other, 0, 12),
            16 => (Self::Number, 0, 0),
            19 => (Self::Number, 0, 12),
            _ => return None,
        })
    }
}

/// A type, in place.
#[derive(Clone, Copy, Debug)]
pub struct Type<'a> {
    /// What it is.
    pub kind: Kind,
    /// The type that it is made from, or its size in bytes.
    pub of: u32,
    pub(super) name: u32,
    pub(super) info: u32,
    body: &'a [u8],
}

impl<'a> Type<'a> {
    /// The type at the beginning of `bytes`, and what follows it. `id` is for the
    /// error.
    fn split(bytes: &'a [u8], id: usize) -> Result<(Self, &'a [u8]), Unreadable> {
        let (head, rest) = Head::ref_from_prefix(bytes).map_err(|_| Unreadable::Short)?;
        let info = head.info.get();
        // On older kernels the number of entries has 16 bits and the kind 5; the
        // rest of the word is 0 there.
        let (entries, number) = (info & 0xff_ffff, info >> 24 & 0x7f);
        let (kind, fixed, each) =
            Kind::numbered(number).ok_or(Unreadable::Kind { id, kind: number })?;
        let length = (entries as usize).saturating_mul(each) + fixed;
        let (body, rest) = rest.split_at_checked(length).ok_or(Unreadable::Short)?;
        let found = Self {
            kind,
            of: head.of.get(),
            name: head.name.get(),
            info,
            body,
        };
        Ok((found, rest))
    }

    /// The members of a structure or union.
    pub fn members(&self) -> &'a [Member] {
        let has_members = matches!(self.kind, Kind::Struct | Kind::Union);
        let body = if has_members { self.body } else { &[] };
        <[Member]>::ref_from_bytes(body).unwrap_or_default()
    }

    /// The parameters, of a prototype.
    pub fn parameters(&self) -> Option<&'a [Parameter]> {
        let body = (self.kind == Kind::Prototype).then_some(self.body)?;
        <[Parameter]>::ref_from_bytes(body).ok()
    }

    fn array(&self) -> Option<&'a Array> {
        let body = (self.kind == Kind::Array).then_some(self.body)?;
        Array::ref_from_bytes(body).ok()
    }

    /// Where a member begins, in bytes; none for a bit field.
    pub fn offset(&self, member: &Member) -> Option<u32> {
        let place = member.place.get();
        // Whether it tells the width of bit fields too.
        let (bits, width) = if self.info >> 31 != 0 {
            (place & 0xff_ffff, place >> 24)
        } else {
            (place, 0)
        };
        (width == 0 && bits.is_multiple_of(8)).then_some(bits / 8)
    }
}

/// All types of a kernel, by their numbers from 1 on; 0 is `void`.
#[derive(Debug)]
pub struct Types<'a> {
    types: &'a [u8],
    pub(super) names: &'a [u8],
    /// Where each type begins.
    starts: Vec<u32>,
}

impl<'a> Types<'a> {
    /// Finds the types in the bytes of a BTF file.
    ///
    /// # Errors
    ///
    /// It is none, it is cut short, or has types of an unknown kind.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Unreadable> {
        let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| Unreadable::Header)?;
        if header.magic.get() != MAGIC || header.version != VERSION {
            return Err(Unreadable::Header);
        }
        let section = |at: U32, length: U32| {
            let rest = bytes.get(header.length.get() as usize..)?;
            let rest = rest.get(at.get() as usize..)?;
            rest.get(..length.get() as usize)
        };
        let types = section(header.types_at, header.types_length).ok_or(Unreadable::Short)?;
        let names = section(header.names_at, header.names_length).ok_or(Unreadable::Short)?;
        let mut starts = Vec::with_capacity(types.len() / 2 / size_of::<Head>());
        let mut rest = types;
        while !rest.is_empty() {
            starts.push((types.len() - rest.len()) as u32);
            (_, rest) = Type::split(rest, starts.len())?;
        }
        Ok(Self {
            types,
            names,
            starts,
        })
    }

    /// How many there are: the highest number.
    pub fn count(&self) -> u32 {
        self.starts.len() as u32
    }

    /// A type by its number; none for `void`.
    pub fn get(&self, id: u32) -> Option<Type<'a>> {
        let index = id.checked_sub(1)? as usize;
        let bytes = self.types.get(*self.starts.get(index)? as usize..)?;
        Type::split(bytes, index + 1).ok().map(|(found, _)| found)
    }

    /// The name of a type; empty if it has none.
    pub fn name(&self, of: &Type<'_>) -> &'a [u8] {
        self.text(of.name)
    }

    fn text(&self, at: u32) -> &'a [u8] {
        let rest = self.names.get(at as usize..).unwrap_or_default();
        CStr::from_bytes_until_nul(rest).map_or(&[], CStr::to_bytes)
    }

    /// Where a member begins in a structure, in bytes. The path joins names with
    /// dots, leaves anonymous structures and unions out, and may go into arrays
    /// (`regs[1]`). None too for a bit field.
    pub fn offset_of(&self, structure: u32, path: &str) -> Option<u32> {
        let mut at = structure;
        let mut offset = 0_u32;
        for step in path.split('.') {
            let mut parts = step.split('[');
            let (member, begin) = self.member(at, parts.next()?.as_bytes())?;
            at = member;
            offset = offset.checked_add(begin)?;
            for index in parts {
                let index: u32 = index.strip_suffix(']')?.parse().ok()?;
                let array = self.unqualified(at)?.1.array()?;
                if index >= array.count.get() {
                    return None;
                }
                at = array.of.get();
                offset = offset.checked_add(index.checked_mul(self.size_of(at)?)?)?;
            }
        }
        Some(offset)
    }

    /// The size of a type in bytes, if it has one.
    pub fn size_of(&self, id: u32) -> Option<u32> {
        let mut element = id;
        let mut count = 1_u32;
        for _ in 0..LONGEST_CHAIN {
            let (_, found) = self.unqualified(element)?;
            let size = match found.kind {
                Kind::Number | Kind::Struct | Kind::Union => found.of,
                Kind::Pointer => size_of::<usize>() as u32,
                Kind::Array => {
                    let array = found.array()?;
                    count = count.checked_mul(array.count.get())?;
                    element = array.of.get();
                    continue;
                }
                Kind::Declaration
                | Kind::Typedef
                | Kind::Qualifier
                | Kind::Function
                | Kind::Prototype
                | Kind::Other => return None,
            };
            return count.checked_mul(size);
        }
        None
    }

    /// The type of a member, and where it begins in bytes.
    fn member(&self, structure: u32, name: &[u8]) -> Option<(u32, u32)> {
        let mut to_search = vec![(structure, 0_u32)];
        // A structure that holds the same nameless one twice would have two
        // members of one name, which C forbids: so circles cost nothing.
        let mut seen = BTreeSet::new();
        while let Some((id, base)) = to_search.pop() {
            let Some((id, composite)) = self.unqualified(id) else {
                continue;
            };
            if !seen.insert(id) {
                continue;
            }
            for member in composite.members() {
                let found = self.text(member.name.get());
                let begin = composite.offset(member);
                let begin = begin.and_then(|begin| begin.checked_add(base));
                if found.is_empty() {
                    to_search.extend(begin.map(|begin| (member.of.get(), begin)));
                } else if found == name {
                    return Some((member.of.get(), begin?));
                }
            }
        }
        None
    }

    /// What is behind names and qualifiers, with its number.
    fn unqualified(&self, id: u32) -> Option<(u32, Type<'a>)> {
        let mut at = id;
        for _ in 0..LONGEST_CHAIN {
            let found = self.get(at)?;
            if !matches!(found.kind, Kind::Typedef | Kind::Qualifier) {
                return Some((at, found));
            }
            at = found.of;
        }
        None
    }

    /// A type as C writes it, without `const` and the like. A union stands for
    /// its first member: so an iterator's context pads its pointers.
    pub fn declaration(&self, id: u32) -> String {
        let mut at = id;
        let mut pointers = String::new();
        for _ in 0..LONGEST_CHAIN {
            let Some(found) = self.get(at) else {
                return format!("void{pointers}");
            };
            let first = found.members().first();
            match (found.kind, first) {
                (Kind::Pointer, _) => {
                    pointers.push_str(" *");
                    at = found.of;
                }
                (Kind::Qualifier, _) => at = found.of,
                (Kind::Union, Some(first)) => at = first.of.get(),
                (kind, _) => {
                    let name = String::from_utf8_lossy(self.name(&found));
                    let is_struct = matches!(kind, Kind::Struct | Kind::Declaration);
                    let keyword = if is_struct { "struct " } else { "" };
                    return format!("{keyword}{name}{pointers}");
                }
            }
        }
        pointers
    }
}

/// Type information as a kernel tells it, built by hand.
#[cfg(test)]
pub(super) mod made {
    pub const INT: u32 = 1;
    pub const PTR: u32 = 2;
    pub const ARRAY: u32 = 3;
    pub const STRUCT: u32 = 4;
    pub const UNION: u32 = 5;
    pub const FWD: u32 = 7;
    pub const TYPEDEF: u32 = 8;
    pub const CONST: u32 = 10;
    pub const FUNC: u32 = 12;
    pub const FUNC_PROTO: u32 = 13;

    #[derive(Default)]
    pub struct Btf {
        count: u32,
        types: Vec<u32>,
        names: Vec<u8>,
    }

    impl Btf {
        /// Adds a type with what follows its head, and tells its number.
        pub fn add(&mut self, kind: u32, name: &str, of: u32, body: &[u32]) -> u32 {
            let entries = match kind {
                STRUCT | UNION => body.len() / 3,
                FUNC_PROTO => body.len() / 2,
                _ => 0,
            };
            self.add_raw(kind << 24 | entries as u32, name, of, body)
        }

        /// The same, with the word that tells all this.
        pub fn add_raw(&mut self, info: u32, name: &str, of: u32, body: &[u32]) -> u32 {
            let name = self.name(name);
            self.types.extend([name, info, of]);
            self.types.extend(body);
            self.count += 1;
            self.count
        }

        pub fn prototype(&mut self, parameters: &[u32]) -> u32 {
            let body: Vec<u32> = parameters.iter().flat_map(|&of| [0, of]).collect();
            self.add(FUNC_PROTO, "", 0, &body)
        }

        /// A member for the body of a structure.
        pub fn member(&mut self, name: &str, of: u32, bits: u32) -> [u32; 3] {
            [self.name(name), of, bits]
        }

        fn name(&mut self, name: &str) -> u32 {
            if name.is_empty() {
                return 0;
            }
            self.names.extend([name.as_bytes(), b"\0"].concat());
            // The first byte of the section is the empty name's.
            self.names.len() as u32 - name.len() as u32
        }

        pub fn bytes(&self) -> Vec<u8> {
            self.bytes_after(&[])
        }

        /// The file, with more in its header than there was at first.
        pub fn bytes_after(&self, more: &[u32]) -> Vec<u8> {
            let types = self.types.len() as u32 * 4;
            let names = self.names.len() as u32 + 1;
            let header = 24 + more.len() as u32 * 4;
            let words = [header, 0, types, types, names];
            let words = words.iter().chain(more).chain(&self.types);
            let mut bytes = [super::MAGIC.to_ne_bytes(), [super::VERSION, 0]].concat();
            bytes.extend(words.flat_map(|word| word.to_ne_bytes()));
            bytes.push(0);
            bytes.extend(&self.names);
            bytes
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        made::{ARRAY, CONST, FUNC, FWD, INT, PTR, STRUCT, TYPEDEF, UNION},
        *,
    };

    /// Asks for everything that the bytes might answer.
    fn ask(bytes: &[u8]) {
        let Ok(types) = Types::parse(bytes) else {
            return;
        };
        let named = types.named(["outer", "a"]);
        let ids = 0..types.starts.len() as u32 + 2;
        for id in ids {
            types.offset_of(id, "x.y[1].z");
            types.size_of(id);
            types.declaration(id);
        }
        named.first(Kind::Struct, "outer");
    }

    /// `struct outer { int head; union { int a; struct { int b; const inner_t c[2]; }; }; }`
    /// with `typedef struct { int x; int y : 4; } inner_t`.
    fn sample() -> (made::Btf, u32) {
        let mut made = made::Btf::default();
        let int = made.add(INT, "int", 4, &[32]);
        let members = [
            made.member("x", int, 0),
            made.member("y", int, 4 << 24 | 32),
        ];
        let with_widths = 1 << 31 | STRUCT << 24 | 2;
        let inner = made.add_raw(with_widths, "", 8, members.as_flattened());
        let inner = made.add(TYPEDEF, "inner_t", inner, &[]);
        let inner = made.add(CONST, "", inner, &[]);
        let inners = made.add(ARRAY, "", 0, &[inner, int, 2]);
        let members = [made.member("b", int, 0), made.member("c", inners, 32)];
        let nested = made.add(STRUCT, "", 20, members.as_flattened());
        let members = [made.member("a", int, 0), made.member("", nested, 0)];
        let either = made.add(UNION, "", 20, members.as_flattened());
        made.add(FWD, "outer", 0, &[]);
        let members = [
            made.member("head", int, 0),
            made.member("", either, 32),
            made.member("odd", int, 33),
        ];
        let outer = made.add(STRUCT, "outer", 24, members.as_flattened());
        (made, outer)
    }

    #[test]
    fn members_are_found_through_what_has_no_name() {
        let (made, outer) = sample();
        // Linux appends to the header, and tells where the sections are.
        for bytes in [made.bytes(), made.bytes_after(&[7, 7])] {
            let types = Types::parse(&bytes).expect("type information");
            let named = types.named(["outer"]);
            assert_eq!(named.first(Kind::Struct, "outer"), Some(outer));
            assert_eq!(named.first(Kind::Function, "outer"), None);
            assert_eq!(types.size_of(outer), Some(24));
            for (path, offset) in [
                ("head", Some(0)),
                ("a", Some(4)),
                ("b", Some(4)),
                ("c", Some(8)),
                ("c[1]", Some(16)),
                ("c[1].x", Some(16)),
                // A bit field, though it begins with a byte.
                ("c[1].y", None),
                // Another, told without its width.
                ("odd", None),
                ("c[2]", None),
                ("c[1", None),
                ("c[-1]", None),
                ("head[0]", None),
                ("c.x", None),
                ("head.x", None),
                ("outer", None),
                ("", None),
            ] {
                assert_eq!(types.offset_of(outer, path), offset, "{path}");
            }
        }
    }

    #[test]
    fn whatever_is_cut_or_changed_is_an_error_or_an_answer() {
        let (made, _) = sample();
        let bytes = made.bytes();
        for length in 0..bytes.len() {
            assert!(Types::parse(&bytes[..length]).is_err(), "{length} bytes");
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 3, 5, 8, 0x7f, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                ask(&bytes);
            }
        }
        assert_eq!(Types::parse(&[0; 4096]).err(), Some(Unreadable::Header));
    }

    #[test]
    fn an_unknown_kind_is_named() {
        let mut made = made::Btf::default();
        made.add(FUNC, "f", 0, &[]);
        made.add(99, "", 0, &[]);
        let bytes = made.bytes();
        let NotLoaded { problem, .. } = Types::parse(&bytes).expect_err("unknown").into();
        let told = "type 2 is of an unknown kind, 99";
        assert!(problem.message.ends_with(told), "{problem}");
    }

    #[test]
    fn circles_end() {
        let mut made = made::Btf::default();
        made.add(TYPEDEF, "a", 2, &[]);
        made.add(CONST, "", 1, &[]);
        made.add(PTR, "", 3, &[]);
        made.add(ARRAY, "", 0, &[4, 4, 1]);
        let itself = [made.member("", 5, 8), made.member("", 5, 16)];
        made.add(STRUCT, "", 0, itself.as_flattened());
        let bytes = made.bytes();
        ask(&bytes);
        let types = Types::parse(&bytes).expect("type information");
        assert_eq!(types.size_of(1), None);
        assert_eq!(types.size_of(4), None);
        assert_eq!(types.offset_of(5, "x"), None);
    }
}
