//! Whether the running kernel has what each hook relies on, down to the types
//! of its arguments: what a new kernel changes is named before it is felt.

use std::collections::BTreeMap;

use btfparse::{Offset, TypeInformation, TypeVariant};

use super::{
    NotLoaded, offsets,
    programs::{Hook, PROGRAMS, Program},
};
use crate::arch;

/// What the programs read at a fixed place that no argument is: structure,
/// member, and its offset in bytes.
const PLACES: &[(&str, &str, u32)] = &[
    ("bpf_iter_meta", "seq", 0),
    // What a call returned, at its tracepoint.
    ("syscall_trace_exit", "ret", 16),
];

/// The size of a place in an iterator's context.
const SLOT: u32 = 8;

/// How the running kernel differs from what the programs rely on, each with the
/// name of the hook; nothing if it does not.
///
/// # Errors
///
/// The kernel has no type information.
pub fn drifted() -> Result<Vec<String>, NotLoaded> {
    Ok(Declared::by(&offsets::types_of_running_kernel()?).drifted())
}

/// Names with what stands behind them: the arguments of a function or typed
/// tracepoint, the members of a structure. Some names stand for several things.
struct Declared<'a> {
    types: &'a TypeInformation,
    ids: BTreeMap<String, Vec<u32>>,
}

impl<'a> Declared<'a> {
    fn by(types: &'a TypeInformation) -> Self {
        let places = PLACES.iter().map(|(structure, ..)| (*structure).to_owned());
        let wanted = PROGRAMS.iter().map(|program| symbol(program.hook));
        let mut ids: BTreeMap<String, Vec<u32>> =
            wanted.chain(places).map(|name| (name, vec![])).collect();
        for &id in types.get().keys() {
            let name = types.name_of(id);
            if let Some(known) = name.and_then(|name| ids.get_mut(&name)) {
                known.push(id);
            }
        }
        Self { types, ids }
    }

    fn drifted(&self) -> Vec<String> {
        let hooks = PROGRAMS.iter().filter_map(|program| self.drift_of(program));
        let places = PLACES.iter().filter_map(|&(structure, member, offset)| {
            let is_there = |&id: &u32| {
                let found = self.types.offset_of(id, member);
                found.is_ok_and(|(_, found)| found == Offset::ByteOffset(offset))
            };
            let fits = self.ids.get(structure)?.iter().any(is_there);
            (!fits).then(|| format!("{structure}.{member} is not at byte {offset}"))
        });
        hooks.chain(places).collect()
    }

    fn drift_of(&self, program: &Program) -> Option<String> {
        let hook = program.hook.name();
        let ids = self.ids.get(&symbol(program.hook))?;
        let found: Vec<Vec<String>> = ids
            .iter()
            .filter_map(|&id| self.arguments(program.hook, id))
            .collect();
        if found.iter().any(|arguments| fits(program, arguments)) {
            return None;
        }
        let given = program.given.join(", ");
        match found.first() {
            Some(found) => Some(format!(
                "{hook} is given ({}), and not ({given})",
                found.join(", ")
            )),
            None if program.optional => None,
            None => Some(format!(
                "{hook} is missing, which Linux has {}",
                releases(program)
            )),
        }
    }

    /// What a hook is given, as C declares it.
    fn arguments(&self, hook: Hook, id: u32) -> Option<Vec<String>> {
        match (hook, self.types.from_id(id)?) {
            // The first argument is the tracepoint's own, and no program's.
            (Hook::Typed(_), TypeVariant::Typedef(typedef)) => {
                let function = self.types.pointee_tid(*typedef.tid()).ok()?;
                Some(self.parameters(function)?.into_iter().skip(1).collect())
            }
            (Hook::Enter(_) | Hook::Exit(_), TypeVariant::Func(function)) => {
                self.parameters(*function.prototype_tid())
            }
            (Hook::Iterator(_), TypeVariant::Struct(context)) => {
                let members = context.member_list().iter().zip(0..);
                let said = members.map(|(member, slot)| {
                    let text = self.text(member.tid());
                    if member.offset() == Offset::ByteOffset(slot * SLOT) {
                        text
                    } else {
                        format!("{text} elsewhere")
                    }
                });
                Some(said.collect())
            }
            _ => None,
        }
    }

    fn parameters(&self, function: u32) -> Option<Vec<String>> {
        let TypeVariant::FuncProto(function) = self.types.from_id(function)? else {
            return None;
        };
        let parameters = function.parameter_list().iter();
        Some(parameters.map(|one| self.text(one.tid())).collect())
    }

    /// A type as C writes it, without `const` and the like. A union stands for
    /// its first member: so an iterator's context pads its pointers.
    fn text(&self, id: u32) -> String {
        let name = || self.types.name_of(id).unwrap_or_default();
        match self.types.from_id(id) {
            Some(TypeVariant::Ptr(to)) => format!("{} *", self.text(*to.tid())),
            Some(TypeVariant::Const(of)) => self.text(*of.tid()),
            Some(TypeVariant::TypeTag(of)) => self.text(*of.tid()),
            Some(TypeVariant::Struct(_) | TypeVariant::Fwd(_)) => format!("struct {}", name()),
            Some(TypeVariant::Union(union)) => {
                let first = union.member_list().first();
                first.map_or_else(String::new, |first| self.text(first.tid()))
            }
            _ => name(),
        }
    }
}

/// The name under which the type information has what a hook is given.
fn symbol(hook: Hook) -> String {
    match hook {
        Hook::Typed(name) => format!("btf_trace_{name}"),
        Hook::Enter(name) | Hook::Exit(name) => format!("{}{name}", arch::FUNCTION),
        Hook::Iterator(name) => format!("bpf_iter__{name}"),
    }
}

/// Whether what is given begins with what the program relies on. The place of
/// what a function returns depends on how many arguments there are.
fn fits(program: &Program, found: &[String]) -> bool {
    let is_call = matches!(program.hook, Hook::Enter(_) | Hook::Exit(_));
    let relied_on = found.iter().take(program.given.len());
    relied_on.eq(program.given.iter()) && (!is_call || found.len() == program.given.len())
}

fn releases(program: &Program) -> String {
    let (major, minor) = program.since;
    match program.until {
        None => format!("since {major}.{minor}"),
        Some((last_major, last_minor)) => {
            format!("from {major}.{minor} to {last_major}.{last_minor}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRUCT: u32 = 4;
    const PTR: u32 = 2;
    const TYPEDEF: u32 = 8;
    const FUNC: u32 = 12;
    const FUNC_PROTO: u32 = 13;

    /// Type information as a kernel tells it, built by hand.
    #[derive(Default)]
    struct Types {
        count: u32,
        types: Vec<u32>,
        names: Vec<u8>,
    }

    impl Types {
        /// Adds a type and tells its id.
        fn add(&mut self, kind: u32, name: &str, of: u32, entries: &[[u32; 2]]) -> u32 {
            let at = match name {
                "" => 0,
                name => {
                    self.names.extend([name.as_bytes(), b"\0"].concat());
                    self.names.len() as u32 - name.len() as u32
                }
            };
            self.types
                .extend([at, kind << 24 | entries.len() as u32, of]);
            self.types.extend(entries.as_flattened());
            self.count += 1;
            self.count
        }

        fn pointer(&mut self, structure: &str) -> u32 {
            let structure = self.add(STRUCT, structure, 0, &[]);
            self.add(PTR, "", structure, &[])
        }

        fn function(&mut self, arguments: &[u32]) -> u32 {
            let arguments: Vec<_> = arguments.iter().map(|&id| [0, id]).collect();
            self.add(FUNC_PROTO, "", 0, &arguments)
        }

        fn tracepoint(&mut self, name: &str, arguments: &[u32]) {
            let own = self.add(PTR, "", 0, &[]);
            let function = self.function(&[&[own], arguments].concat());
            let pointer = self.add(PTR, "", function, &[]);
            self.add(TYPEDEF, name, pointer, &[]);
        }

        /// What has drifted, of one hook.
        fn drift_of(&self, hook: Hook) -> Option<String> {
            let size = self.types.len() as u32 * 4;
            let names = self.names.len() as u32 + 1;
            let header = [0x0001_eb9f, 24, 0, size, size, names];
            let words = header.iter().chain(&self.types);
            let mut bytes: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
            bytes.push(0);
            bytes.extend(&self.names);
            let types = offsets::parse(bytes).expect("type information");
            let program = PROGRAMS.iter().find(|program| program.hook == hook);
            Declared::by(&types).drift_of(program.expect("a hook of the table"))
        }
    }

    #[test]
    fn a_tracepoint_whose_arguments_move_is_named() {
        let hook = Hook::Typed("sched_switch");
        let switch = |order: fn([u32; 3]) -> Vec<u32>| {
            let mut types = Types::default();
            let task = types.pointer("task_struct");
            let [bool, state] = ["bool", "state"].map(|name| types.add(TYPEDEF, name, 0, &[]));
            types.tracepoint("btf_trace_sched_switch", &order([bool, state, task]));
            types.drift_of(hook)
        };
        assert_eq!(switch(|[bool, _, task]| vec![bool, task, task]), None);
        let later = switch(|[bool, state, task]| vec![bool, task, task, state]);
        assert_eq!(later, None);
        let drift = switch(|[bool, state, task]| vec![bool, state, task, task]);
        assert_eq!(
            drift.as_deref(),
            Some(
                "sched_switch is given (bool, state, struct task_struct *, struct task_struct *), \
                 and not (bool, struct task_struct *)"
            )
        );
    }

    #[test]
    fn a_function_has_its_one_argument_and_no_other() {
        let function = |name: &str, more: &[u32]| {
            let mut types = Types::default();
            let registers = types.pointer("pt_regs");
            let function = types.function(&[&[registers], more].concat());
            types.add(FUNC, &format!("{}{name}", arch::FUNCTION), function, &[]);
            types
        };
        let range = Hook::Exit("close_range");
        assert_eq!(function("close_range", &[]).drift_of(range), None);
        let drift = function("close_range", &[1]).drift_of(range);
        let drift = drift.expect("one argument too many");
        assert!(drift.starts_with("close_range is given"), "{drift}");
        assert_eq!(
            function("close", &[]).drift_of(range).as_deref(),
            Some("close_range is missing, which Linux has since 5.9")
        );
        // Some architectures never had this one.
        assert_eq!(function("close", &[]).drift_of(Hook::Exit("dup2")), None);
    }
}
