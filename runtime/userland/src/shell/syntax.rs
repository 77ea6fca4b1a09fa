//! The shape of a parsed script.

/// A piece of a word, before expansion.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    /// Plain text; may hold glob characters.
    Text(String),
    /// Text that quotes protect.
    Quoted(String),
    /// `"..."`: expansions inside, no splitting.
    Double(Vec<Part>),
    /// `$name`, `${name...}`.
    Parameter { name: String, operator: Operator },
    /// `$(...)` or backquotes: the source text.
    Command(String),
    /// `$((...))`.
    Arithmetic(Vec<Part>),
}

/// What `${...}` does besides naming a parameter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operator {
    None,
    Length,
    /// `-`, `=`, `?`, `+`; `colon` also treats empty as unset.
    Substitute { kind: char, colon: bool, word: Vec<Part> },
    /// `#`, `##`, `%`, `%%`.
    Trim { suffix: bool, longest: bool, pattern: Vec<Part> },
    /// `/from/to`, `//from/to`.
    Replace { all: bool, pattern: Vec<Part>, with: Vec<Part> },
    /// `:offset:length`.
    Slice { offset: Vec<Part>, length: Option<Vec<Part>> },
}

/// A word: its parts in order.
pub(crate) type Word = Vec<Part>;

/// A redirection of one descriptor.
#[derive(Debug, Clone)]
pub(crate) struct Redirect {
    pub(crate) fd: i32,
    pub(crate) kind: RedirectKind,
    pub(crate) target: Word,
}

/// How a redirection opens its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RedirectKind {
    Read,
    Write,
    Append,
    ReadWrite,
    Duplicate,
    /// `&>`: both outputs to one file.
    Both,
    /// The target is the content.
    Here,
}

/// How a pipeline or list goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Join {
    And,
    Or,
}

/// A command.
#[derive(Debug, Clone)]
pub(crate) enum Command {
    Simple { assignments: Vec<(String, Word)>, words: Vec<Word>, redirects: Vec<Redirect> },
    Pipeline { commands: Vec<Command>, negated: bool },
    Chain { first: Box<Command>, rest: Vec<(Join, Command)> },
    /// Commands in sequence; `true` means in the background.
    List(Vec<(Command, bool, String)>),
    Group { body: Box<Command>, redirects: Vec<Redirect> },
    Subshell { body: Box<Command>, redirects: Vec<Redirect> },
    If { arms: Vec<(Command, Command)>, otherwise: Option<Box<Command>>, redirects: Vec<Redirect> },
    For { name: String, words: Option<Vec<Word>>, body: Box<Command>, redirects: Vec<Redirect> },
    While { until: bool, condition: Box<Command>, body: Box<Command>, redirects: Vec<Redirect> },
    Case { subject: Word, arms: Vec<(Vec<Word>, Command)>, redirects: Vec<Redirect> },
    Function { name: String, body: std::rc::Rc<Command> },
}
