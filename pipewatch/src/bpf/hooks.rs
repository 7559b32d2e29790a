//! Whether the running kernel has what each hook relies on, down to the types
//! of its arguments: what a new kernel changes is named before it is felt.

use super::{
    NotLoaded,
    btf::{Kind, Type, Types},
    named::Named,
    programs::{Hook, PROGRAMS, Program},
    vmlinux,
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
    let bytes = vmlinux::bytes_of_types()?;
    let types = Types::parse(&bytes)?;
    Ok(Declared::by(&types).drifted())
}

/// Names with what stands behind them: the arguments of a function or typed
/// tracepoint, the members of a structure. Some names stand for several things.
struct Declared<'a> {
    named: Named<'a>,
}

impl<'a> Declared<'a> {
    fn by(types: &'a Types<'a>) -> Self {
        let places = PLACES.iter().map(|(structure, ..)| (*structure).to_owned());
        let wanted = PROGRAMS.iter().map(|program| symbol(program.hook));
        Self {
            named: types.named(wanted.chain(places)),
        }
    }

    fn drifted(&self) -> Vec<String> {
        let hooks = PROGRAMS.iter().filter_map(|program| self.drift_of(program));
        let places = PLACES.iter().filter_map(|&(structure, member, offset)| {
            let mut structures = self.named.all(Kind::Struct, structure);
            let fits =
                structures.any(|(id, _)| self.named.types.offset_of(id, member) == Some(offset));
            (!fits).then(|| format!("{structure}.{member} is not at byte {offset}"))
        });
        hooks.chain(places).collect()
    }

    fn drift_of(&self, program: &Program) -> Option<String> {
        let hook = program.hook.name();
        let kind = match program.hook {
            Hook::Typed(_) => Kind::Typedef,
            Hook::Enter(_) | Hook::Exit(_) => Kind::Function,
            Hook::Iterator(_) => Kind::Struct,
        };
        let name = symbol(program.hook);
        let types = self.named.all(kind, &name);
        let found: Vec<Vec<String>> = types
            .filter_map(|(_, of)| self.arguments(program.hook, &of))
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
    fn arguments(&self, hook: Hook, of: &Type<'_>) -> Option<Vec<String>> {
        match hook {
            // The first argument is the tracepoint's own, and no program's.
            Hook::Typed(_) => {
                let pointer = self.named.types.get(of.of)?;
                Some(self.parameters(pointer.of)?.skip(1).collect())
            }
            Hook::Enter(_) | Hook::Exit(_) => Some(self.parameters(of.of)?.collect()),
            Hook::Iterator(_) => {
                let members = of.members().iter().zip(0..);
                let said = members.map(|(member, slot)| {
                    let text = self.named.types.declaration(member.of.get());
                    if of.offset(member) == Some(slot * SLOT) {
                        text
                    } else {
                        format!("{text} elsewhere")
                    }
                });
                Some(said.collect())
            }
        }
    }

    fn parameters(&self, function: u32) -> Option<impl Iterator<Item = String>> {
        let parameters = self.named.types.get(function)?.parameters()?.iter();
        Some(parameters.map(|one| self.named.types.declaration(one.of.get())))
    }
}

/// The name under which the type information has what a hook is given.
pub(super) fn symbol(hook: Hook) -> String {
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
    use super::{
        super::btf::made::{self, Btf},
        *,
    };

    fn pointer(made: &mut Btf, structure: &str) -> u32 {
        let structure = made.add(made::STRUCT, structure, 0, &[]);
        made.add(made::PTR, "", structure, &[])
    }

    fn tracepoint(made: &mut Btf, name: &str, arguments: &[u32]) {
        let own = made.add(made::PTR, "", 0, &[]);
        let function = made.prototype(&[&[own], arguments].concat());
        let pointer = made.add(made::PTR, "", function, &[]);
        made.add(made::TYPEDEF, name, pointer, &[]);
    }

    /// What has drifted, of one hook.
    fn drift_of(made: &Btf, hook: Hook) -> Option<String> {
        let bytes = made.bytes();
        let types = Types::parse(&bytes).expect("type information");
        let program = PROGRAMS.iter().find(|program| program.hook == hook);
        Declared::by(&types).drift_of(program.expect("a hook of the table"))
    }

    #[test]
    fn a_tracepoint_whose_arguments_move_is_named() {
        let hook = Hook::Typed("sched_switch");
        let switch = |order: fn([u32; 3]) -> Vec<u32>| {
            let mut made = Btf::default();
            let task = pointer(&mut made, "task_struct");
            let [bool, state] = ["bool", "state"].map(|name| made.add(made::TYPEDEF, name, 0, &[]));
            let arguments = order([bool, state, task]);
            tracepoint(&mut made, "btf_trace_sched_switch", &arguments);
            drift_of(&made, hook)
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
            let mut made = Btf::default();
            let registers = pointer(&mut made, "pt_regs");
            let prototype = made.prototype(&[&[registers], more].concat());
            let name = format!("{}{name}", arch::FUNCTION);
            made.add(made::FUNC, &name, prototype, &[]);
            made
        };
        let range = Hook::Exit("close_range");
        assert_eq!(drift_of(&function("close_range", &[]), range), None);
        let drift = drift_of(&function("close_range", &[1]), range);
        let drift = drift.expect("one argument too many");
        assert!(drift.starts_with("close_range is given"), "{drift}");
        let close = function("close", &[]);
        assert_eq!(
            drift_of(&close, range).as_deref(),
            Some("close_range is missing, which Linux has since 5.9")
        );
        // Some architectures never had this one.
        assert_eq!(drift_of(&close, Hook::Exit("dup2")), None);
    }

    #[test]
    fn an_iterator_is_given_machine_words() {
        let hook = Hook::Iterator("task");
        let context = |task_at: u32| {
            let mut made = Btf::default();
            let [meta, task] =
                ["bpf_iter_meta", "task_struct"].map(|name| pointer(&mut made, name));
            let [meta, task] = [meta, task].map(|pointer| {
                // As the kernel pads it: a union of the pointer and 64 bits.
                let pointer = made.member("pointer", pointer, 0);
                made.add(made::UNION, "", 8, &pointer)
            });
            let members = [made.member("", meta, 0), made.member("", task, task_at)].concat();
            made.add(made::STRUCT, "bpf_iter__task", 16, &members);
            drift_of(&made, hook)
        };
        assert_eq!(context(64), None);
        assert_eq!(
            context(128).as_deref(),
            Some(
                "task is given (struct bpf_iter_meta *, struct task_struct * elsewhere), and not \
                 (struct bpf_iter_meta *, struct task_struct *)"
            )
        );
    }
}
