//! What a thread can do, in the words of stories.

use pipewatch::{
    event::{Call, Mode, WaitFor},
    ids::{Fd, Pid, Tid},
};

use super::{Done, Kernel, Range};

/// What a thread does.
pub fn act(kernel: &mut Kernel, by: Tid, words: &[&str]) -> Done {
    match *words {
        ["thread", tid, comm] => kernel.thread(by, Tid(number(tid)?), comm),
        ["fork", child] => kernel.fork(by, pid(child)?, false),
        ["fork", child, "sharing"] => kernel.fork(by, pid(child)?, true),
        ["exec", comm] => kernel.exec(by, comm),
        ["exit"] => kernel.exit(by),
        ["leave"] => kernel.leave(by),
        ["reap", child] => kernel.reap(by, pid(child)?),
        ["kill", victim] => kernel.kill(by, pid(victim)?),
        ["signal", target] => kernel.signal(by, Tid(number(target)?), true),
        ["signal", target, "eintr"] => kernel.signal(by, Tid(number(target)?), false),
        ["subreaper"] => kernel.subreaper(by),
        ["waitpid"] => kernel.waitpid(by, WaitFor::Any),
        ["waitpid", child] => kernel.waitpid(by, WaitFor::Process(pid(child)?)),
        ["stop", target] => kernel.set_stopped(by, pid(target)?, true),
        ["cont", target] => kernel.set_stopped(by, pid(target)?, false),
        ["pipe", read, write] => kernel.pipe(by, fd(read)?, fd(write)?, false),
        ["pipe", read, write, "cloexec"] => kernel.pipe(by, fd(read)?, fd(write)?, true),
        ["socketpair", one, other] => kernel.socketpair(by, fd(one)?, fd(other)?),
        ["open", path, direction, new] => kernel.open(by, path, mode(direction)?, fd(new)?),
        ["close", old] => kernel.close(by, fd(old)?),
        ["dup", old, new] => kernel.dup(by, fd(old)?, fd(new)?, false),
        ["dup", old, new, "cloexec"] => kernel.dup(by, fd(old)?, fd(new)?, true),
        ["overwrite", old] => kernel.overwrite(by, fd(old)?),
        ["cloexec", old, "on"] => kernel.set_cloexec(by, fd(old)?, true),
        ["cloexec", old, "off"] => kernel.set_cloexec(by, fd(old)?, false),
        ["close_range", first, last] => kernel.close_range(by, fd(first)?, fd(last)?, Range::Close),
        ["close_range", first, last, "mark"] => {
            kernel.close_range(by, fd(first)?, fd(last)?, Range::Mark)
        }
        ["close_range", first, last, "unshare"] => {
            kernel.close_range(by, fd(first)?, fd(last)?, Range::Unshare)
        }
        ["unshare"] => kernel.unshare(by),
        ["send", old] => kernel.send(by, fd(old)?),
        ["receive", new] => kernel.receive(by, fd(new)?),
        ["read", old] => kernel.read(by, fd(old)?, Call::Read),
        ["readv", old] => kernel.read(by, fd(old)?, Call::Readv),
        // This one is with a limit of time, poll without.
        ["select", old] => kernel.read(by, fd(old)?, Call::Select),
        ["poll", old] => kernel.read(by, fd(old)?, Call::Poll),
        ["recv", old] => kernel.read(by, fd(old)?, Call::Recv),
        ["write", old] => kernel.write(by, fd(old)?),
        _ => Err("no thread can do this".to_owned()),
    }
}

/// A number.
pub fn number(word: &str) -> Result<u32, String> {
    word.parse().map_err(|_| format!("{word} is no number"))
}

/// A process id.
pub fn pid(word: &str) -> Result<Pid, String> {
    number(word).map(Pid)
}

fn fd(word: &str) -> Result<Fd, String> {
    number(word).map(Fd)
}

fn mode(word: &str) -> Result<Mode, String> {
    let (read, write) = (word.contains('r'), word.contains('w'));
    if !read && !write {
        return Err(format!("{word} is no direction"));
    }
    Ok(Mode { read, write })
}
