//! nftables as data, and its encoding as netlink messages.
//!
//! A rule is a list of expressions that work on registers: load something of the packet, compare or look it up, act.
//! Register 0 is the verdict; 1 to 4 have 16 bytes; 8 and up are the same bytes in slices of four, which makes a key of
//! several parts. Numbers in attributes are big-endian; what a register holds is as the packet has it.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::netlink::{Message, flags};

/// The one table we own, in every namespace we translate for.
pub(super) const TABLE: &str = "drydock";
const NFPROTO_IPV4: u8 = 2;
const SUBSYSTEM: u16 = 10 << 8;
const NEW_TABLE: u16 = SUBSYSTEM;
const DEL_TABLE: u16 = SUBSYSTEM | 2;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const DEL_CHAIN: u16 = SUBSYSTEM | 5;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const DEL_RULE: u16 = SUBSYSTEM | 8;
const NEW_SET: u16 = SUBSYSTEM | 9;
const DEL_SET: u16 = SUBSYSTEM | 11;
const NEW_ELEMENT: u16 = SUBSYSTEM | 12;
const DEL_ELEMENT: u16 = SUBSYSTEM | 14;

const LIST_ELEM: u16 = 1;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const SET_MAP: u32 = 8;
const SET_TIMEOUT: u32 = 0x10;
const SET_EVAL: u32 = 0x20;
const TYPE_VERDICT: u32 = 0xffff_ff00;

/// A register.
pub(super) type Register = u32;
/// The first 16-byte register.
pub(super) const R1: Register = 1;
/// The second.
pub(super) const R2: Register = 2;
/// The first four-byte slice; keys of several parts begin here.
pub(super) const KEY: Register = 8;

/// What happens to the packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Drop,
    Return,
    Jump(String),
    Goto(String),
}

/// One step of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expression {
    /// Bytes of the IP header.
    Network { offset: u32, length: u32, to: Register },
    /// Bytes of the transport header.
    Transport { offset: u32, length: u32, to: Register },
    /// The transport protocol's number.
    Layer4Protocol { to: Register },
    /// The packet's mark, into a register.
    LoadMark { to: Register },
    /// The packet's mark, from a register.
    StoreMark { from: Register },
    /// Goes on when equal.
    Equal { register: Register, value: Vec<u8> },
    /// `register = (register & mask) ^ xor`.
    Bitwise { register: Register, mask: [u8; 4], xor: [u8; 4] },
    /// A constant.
    Constant { to: Register, value: Vec<u8> },
    /// Ends the rule.
    Verdict(Verdict),
    /// Goes on when the set has the key.
    Member { set: String, key: Register },
    /// The verdict the map has for the key; goes on without one.
    VerdictOf { map: String, key: Register },
    /// A random number below the modulus.
    Random { modulus: u32, to: Register },
    /// Puts the key into a set for as long as the set says.
    Remember { set: String, key: Register },
    /// Send it there instead.
    Dnat { address: Register, port: Register },
    /// Let it come from this machine.
    Masquerade,
    /// Answer with "port unreachable".
    Reject,
}

/// A rule.
pub(super) type Rule = Vec<Expression>;

/// A place where chains begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hook {
    pub(super) kind: &'static str,
    pub(super) number: u32,
    pub(super) priority: i32,
}

fn message(kind: u16, message_flags: u16) -> Message {
    Message::new(kind, message_flags).put(&[NFPROTO_IPV4, 0, 0, 0])
}

pub(super) fn new_table() -> Message {
    message(NEW_TABLE, flags::CREATE).text(1, TABLE)
}

pub(super) fn delete_table() -> Message {
    message(DEL_TABLE, 0).text(1, TABLE)
}

pub(super) fn new_chain(name: &str, hook: Option<Hook>) -> Message {
    let message = message(NEW_CHAIN, flags::CREATE).text(1, TABLE).text(3, name);
    let Some(hook) = hook else { return message };
    message
        .nest(4, |m| m.number_be(1, hook.number).number_be(2, hook.priority as u32))
        .number_be(5, 1) // policy: accept
        .text(7, hook.kind)
}

pub(super) fn delete_chain(name: &str) -> Message {
    message(DEL_CHAIN, 0).text(1, TABLE).text(3, name)
}

pub(super) fn flush_chain(name: &str) -> Message {
    message(DEL_RULE, 0).text(1, TABLE).text(2, name)
}

pub(super) fn new_rule(chain: &str, rule: &Rule) -> Message {
    message(NEW_RULE, flags::CREATE | flags::APPEND)
        .text(1, TABLE)
        .text(2, chain)
        .nest(4, |m| rule.iter().fold(m, |m, expression| m.nest(LIST_ELEM, |m| encode(m, expression))))
}

/// What a set holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SetKind {
    /// Keys.
    Plain,
    /// A verdict for each key.
    VerdictMap,
    /// Keys that rules put in and that go by themselves.
    Expiring(Duration),
}

pub(super) fn new_set(name: &str, id: u32, key_length: u32, kind: SetKind) -> Message {
    let set_flags = match kind {
        SetKind::Plain => 0,
        SetKind::VerdictMap => SET_MAP,
        SetKind::Expiring(_) => SET_TIMEOUT | SET_EVAL,
    };
    let message = message(NEW_SET, flags::CREATE)
        .text(1, TABLE)
        .text(2, name)
        .number_be(3, set_flags)
        .number_be(4, 0) // the key's type is for people who list rules; the kernel wants its length
        .number_be(5, key_length)
        .number_be(10, id);
    match kind {
        SetKind::Plain => message,
        SetKind::VerdictMap => message.number_be(6, TYPE_VERDICT).number_be(7, 16),
        SetKind::Expiring(time) => {
            let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            message.attr(11, &millis.to_be_bytes())
        }
    }
}

pub(super) fn delete_set(name: &str) -> Message {
    message(DEL_SET, 0).text(1, TABLE).text(2, name)
}

pub(super) fn new_element(set: &str, key: &[u8], verdict: Option<&Verdict>) -> Message {
    message(NEW_ELEMENT, flags::CREATE).text(1, TABLE).text(2, set).nest(3, |m| {
        m.nest(LIST_ELEM, |m| {
            let m = m.nest(1, |m| m.attr(DATA_VALUE, key));
            match verdict {
                Some(verdict) => m.nest(2, |m| encode_verdict(m, verdict)),
                None => m,
            }
        })
    })
}

pub(super) fn delete_element(set: &str, key: &[u8]) -> Message {
    message(DEL_ELEMENT, 0)
        .text(1, TABLE)
        .text(2, set)
        .nest(3, |m| m.nest(LIST_ELEM, |m| m.nest(1, |m| m.attr(DATA_VALUE, key))))
}

fn encode_verdict(message: Message, verdict: &Verdict) -> Message {
    message.nest(DATA_VERDICT, |m| match verdict {
        Verdict::Drop => m.number_be(1, 0),
        Verdict::Return => m.number_be(1, -5_i32 as u32),
        Verdict::Jump(chain) => m.number_be(1, -3_i32 as u32).text(2, chain),
        Verdict::Goto(chain) => m.number_be(1, -4_i32 as u32).text(2, chain),
    })
}

fn named(message: Message, name: &str, data: impl FnOnce(Message) -> Message) -> Message {
    message.text(1, name).nest(2, data)
}

fn encode(message: Message, expression: &Expression) -> Message {
    const META_MARK: u32 = 3;
    const META_L4PROTO: u32 = 16;
    let payload = |m: Message, base: u32, offset: u32, length: u32, to: Register| {
        named(m, "payload", |m| m.number_be(1, to).number_be(2, base).number_be(3, offset).number_be(4, length))
    };
    match expression {
        Expression::Network { offset, length, to } => payload(message, 1, *offset, *length, *to),
        Expression::Transport { offset, length, to } => payload(message, 2, *offset, *length, *to),
        Expression::Layer4Protocol { to } => named(message, "meta", |m| m.number_be(1, *to).number_be(2, META_L4PROTO)),
        Expression::LoadMark { to } => named(message, "meta", |m| m.number_be(1, *to).number_be(2, META_MARK)),
        Expression::StoreMark { from } => named(message, "meta", |m| m.number_be(2, META_MARK).number_be(3, *from)),
        Expression::Equal { register, value } => named(message, "cmp", |m| {
            m.number_be(1, *register).number_be(2, 0).nest(3, |m| m.attr(DATA_VALUE, value))
        }),
        Expression::Bitwise { register, mask, xor } => named(message, "bitwise", |m| {
            m.number_be(1, *register)
                .number_be(2, *register)
                .number_be(3, 4)
                .nest(4, |m| m.attr(DATA_VALUE, mask))
                .nest(5, |m| m.attr(DATA_VALUE, xor))
        }),
        Expression::Constant { to, value } => {
            named(message, "immediate", |m| m.number_be(1, *to).nest(2, |m| m.attr(DATA_VALUE, value)))
        }
        Expression::Verdict(verdict) => {
            named(message, "immediate", |m| m.number_be(1, 0).nest(2, |m| encode_verdict(m, verdict)))
        }
        Expression::Member { set, key } => named(message, "lookup", |m| m.text(1, set).number_be(2, *key)),
        Expression::VerdictOf { map, key } => named(message, "lookup", |m| m.text(1, map).number_be(2, *key).number_be(3, 0)),
        Expression::Random { modulus, to } => named(message, "numgen", |m| {
            m.number_be(1, *to).number_be(2, *modulus).number_be(3, 1).number_be(4, 0)
        }),
        Expression::Remember { set, key } => named(message, "dynset", |m| m.text(1, set).number_be(3, 1).number_be(4, *key)),
        Expression::Dnat { address, port } => named(message, "nat", |m| {
            m.number_be(1, 1).number_be(2, u32::from(NFPROTO_IPV4)).number_be(3, *address).number_be(5, *port)
        }),
        // NF_NAT_RANGE_PROTO_RANDOM_FULLY: two clients behind one node do not race for the same source port.
        Expression::Masquerade => named(message, "masq", |m| m.number_be(1, 1 << 4)),
        Expression::Reject => named(message, "reject", |m| m.number_be(1, 0).attr(2, &[3])),
    }
}

/// The source address.
pub(super) fn source(to: Register) -> Expression {
    Expression::Network { offset: 12, length: 4, to }
}

/// The destination address.
pub(super) fn destination(to: Register) -> Expression {
    Expression::Network { offset: 16, length: 4, to }
}

/// The destination port.
pub(super) fn destination_port(to: Register) -> Expression {
    Expression::Transport { offset: 2, length: 2, to }
}

/// Goes on when the register has this address.
pub(super) fn is_address(register: Register, address: Ipv4Addr) -> Expression {
    Expression::Equal { register, value: address.octets().to_vec() }
}
