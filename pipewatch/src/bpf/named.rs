//! What stands behind names in the kernel's account of its types: as much of it as anybody
//! asks for.

use std::{collections::BTreeMap, ffi::CStr};

use zerocopy::IntoBytes as _;

use super::btf::{Head, Header, Kind, MAGIC, Type, Types, VERSION};

/// What tells that a type is a declaration without members.
const DECLARATION: u32 = 7 << 24;

impl<'a> Types<'a> {
    /// Finds what stands behind names, all in one walk.
    pub fn named<N: Into<String>>(&self, wanted: impl IntoIterator<Item = N>) -> Named<'_> {
        let wanted = wanted
            .into_iter()
            .map(|name| (name.into().into_bytes(), vec![]));
        let mut found = BTreeMap::from_iter(wanted);
        // How a name begins tells of most that it is none of these.
        let begin = |name: &[u8]| {
            let begin = name.first_chunk().copied().unwrap_or_default();
            usize::from(u16::from_ne_bytes(begin))
        };
        let mut begins = vec![false; 1 << 16];
        for name in found.keys() {
            begins[begin(&[name, &b"\0"[..]].concat())] = true;
        }
        for id in 1..=self.count() {
            let name = self.get(id).map_or(0, |one| one.name) as usize;
            let rest = self.names.get(name..).filter(|rest| begins[begin(rest)]);
            let name = rest.and_then(|rest| CStr::from_bytes_until_nul(rest).ok());
            if let Some(ids) = name.and_then(|name| found.get_mut(name.to_bytes())) {
                ids.push(id);
            }
        }
        Named { types: self, found }
    }
}

/// What stands behind some names. Some stand for several types.
#[derive(Debug)]
pub struct Named<'a> {
    /// All there are.
    pub types: &'a Types<'a>,
    found: BTreeMap<Vec<u8>, Vec<u32>>,
}

impl<'a> Named<'a> {
    /// The types of this kind and name, each with its number.
    pub fn all(&self, kind: Kind, name: &str) -> impl Iterator<Item = (u32, Type<'a>)> {
        let ids = self.found.get(name.as_bytes()).into_iter().flatten();
        ids.filter_map(move |&id| Some((id, self.types.get(id)?)))
            .filter(move |(_, found)| found.kind == kind)
    }

    /// Type information with nothing in it but these functions and typedefs, by the
    /// numbers that they have here; what else has a number is a nameless declaration.
    pub fn excerpt(&self) -> Vec<u8> {
        let ids = self.found.values().flatten().copied();
        let found = ids.filter_map(|id| Some((id, self.types.get(id)?)));
        let wanted = found.filter(|(_, one)| matches!(one.kind, Kind::Function | Kind::Typedef));
        let wanted: BTreeMap<u32, Type<'_>> = wanted.collect();
        let last = wanted.keys().last().copied().unwrap_or_default();
        let mut types = Vec::with_capacity(last as usize * size_of::<Head>());
        let mut names = vec![0];
        for id in 1..=last {
            let [name, info, of] = wanted.get(&id).map_or([0, DECLARATION, 0], |one| {
                let name = names.len() as u32;
                names.extend(self.types.name(one));
                names.push(0);
                [name, one.info, one.of]
            });
            let head = Head {
                name: name.into(),
                info: info.into(),
                of: of.into(),
            };
            types.extend(head.as_bytes());
        }
        let length = types.len() as u32;
        let header = Header {
            magic: MAGIC.into(),
            version: VERSION,
            flags: 0,
            length: (size_of::<Header>() as u32).into(),
            types_at: 0.into(),
            types_length: length.into(),
            names_at: length.into(),
            names_length: (names.len() as u32).into(),
        };
        [header.as_bytes(), &types, &names].concat()
    }

    /// The number of the first of them.
    pub fn first(&self, kind: Kind, name: &str) -> Option<u32> {
        self.all(kind, name).next().map(|(id, _)| id)
    }
}

#[cfg(test)]
mod tests {
    use aya::{Btf, Endianness};
    use aya_obj::btf::BtfKind;

    use super::{super::btf::made, *};

    #[test]
    fn an_excerpt_has_what_was_asked_for_by_its_number() {
        let mut made = made::Btf::default();
        made.add(made::INT, "int", 4, &[32]);
        let other = made.add(made::FUNC, "other", 0, &[]);
        made.add(made::STRUCT, "f", 0, &[]);
        let function = made.add(made::FUNC, "f", other, &[]);
        let typedef = made.add(made::TYPEDEF, "name_t", 1, &[]);
        made.add(made::FUNC, "behind", 0, &[]);
        let bytes = made.bytes();
        let types = Types::parse(&bytes).expect("type information");
        let named = types.named(["f", "name_t", "absent"]);
        assert_eq!(named.first(Kind::Function, "f"), Some(function));
        let excerpt = named.excerpt();
        let read = Btf::parse(&excerpt, Endianness::default()).expect("type information");
        let id = |name, kind| read.id_by_type_name_kind(name, kind).ok();
        assert_eq!(id("f", BtfKind::Func), Some(function));
        assert_eq!(id("name_t", BtfKind::Typedef), Some(typedef));
        assert_eq!(id("f", BtfKind::Struct), None);
        assert_eq!(id("other", BtfKind::Func), None);
        assert_eq!(id("behind", BtfKind::Func), None);
    }
}
