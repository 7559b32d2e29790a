//! The kernel's account of its types.

use pipewatch::bpf::btf::{Kind, Types};

/// What is asked of each type: deep, through arrays, and not to be found.
const PATHS: [&str; 3] = ["a", "files.fdt", "x.y[1].z"];
/// So many types are asked for.
const TYPES: u32 = 64;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(types) = Types::parse(bytes) else {
        return;
    };
    for id in (0..TYPES).chain([u32::MAX]) {
        for path in PATHS {
            let _ = types.offset_of(id, path);
        }
        let _ = types.size_of(id);
        let _ = types.declaration(id);
        let found = types.get(id);
        let _ = found.map(|found| (types.name(&found), found.parameters().map(<[_]>::len)));
    }
    let named = types.named(["a", "task_struct"]);
    let _ = named.first(Kind::Struct, "task_struct");
    Types::parse(&named.excerpt()).expect("an excerpt is type information");
}
