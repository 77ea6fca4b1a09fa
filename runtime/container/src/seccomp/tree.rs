//! A filter as a search tree over call numbers.
//!
//! The kernel runs a filter once for every call there is when it is installed, and translates all of it, so a list that is walked from its
//! beginning makes each start of a process wait for the best part of a millisecond.
// upstream: linux kernel/seccomp.c, seccomp_cache_prepare_bitmap

use seccompiler::{BpfProgram, sock_filter};

const LOAD_WORD: u16 = 0x20;
const GO_TO: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;
/// Where `struct seccomp_data` has the call's number and the architecture.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;

/// What becomes of the calls from some number on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// This value of the filter.
    Return(u32),
    /// What another program says, which looks at arguments too.
    Ask,
}

/// The program for `fates` (number of the first call and what becomes of it and those after it; in order, the first is 0), of calls made as
/// `architecture` (an `AUDIT_ARCH_*`) makes them; others end the process. `program` answers for [`Fate::Ask`].
pub(super) fn search(architecture: u32, fates: &[(u32, Fate)], program: BpfProgram) -> BpfProgram {
    let mut whole = vec![
        instruction(LOAD_WORD, 0, 0, ARCHITECTURE),
        instruction(IF_EQUAL, 1, 0, architecture),
        instruction(RETURN, 0, 0, libc::SECCOMP_RET_KILL_PROCESS),
        instruction(LOAD_WORD, 0, 0, NUMBER),
    ];
    let mut asking = Vec::new();
    branch(fates, &mut whole, &mut asking);
    for place in asking {
        whole[place].k = distance(place, whole.len());
    }
    whole.extend(program);
    whole
}

/// Append what decides between `fates`; where another program is asked is noted in `asking`.
fn branch(fates: &[(u32, Fate)], whole: &mut BpfProgram, asking: &mut Vec<usize>) {
    let (below, above) = fates.split_at(fates.len() / 2);
    match (below, above) {
        ([], [(_, Fate::Return(value)), ..]) => whole.push(instruction(RETURN, 0, 0, *value)),
        ([], [(_, Fate::Ask), ..]) => {
            asking.push(whole.len());
            whole.push(instruction(GO_TO, 0, 0, 0));
        }
        (_, [(first, _), ..]) => {
            let condition = whole.len();
            whole.push(instruction(IF_AT_LEAST, 0, 0, *first));
            let mut lower = BpfProgram::new();
            let mut noted = Vec::new();
            branch(below, &mut lower, &mut noted);
            match u8::try_from(lower.len()) {
                Ok(length) => whole[condition].jt = length,
                // Farther than a condition can go by itself.
                Err(_) => {
                    whole[condition].jf = 1;
                    let place = whole.len();
                    whole.push(instruction(GO_TO, 0, 0, distance(place, place + 1 + lower.len())));
                }
            }
            asking.extend(noted.into_iter().map(|place| place + whole.len()));
            whole.extend(lower);
            branch(above, whole, asking);
        }
        (_, []) => {}
    }
}

/// How far a jump at `from` goes to reach `to`.
fn distance(from: usize, to: usize) -> u32 {
    u32::try_from(to - from - 1).expect("the kernel takes 4096 instructions at most")
}

fn instruction(code: u16, jt: u8, jf: u8, k: u32) -> sock_filter {
    sock_filter { code, jt, jf, k }
}
