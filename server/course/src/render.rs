//! Markdown to sections and blocks.
//!
//! Headings of level 2 and 3 begin sections; fences with a verb, and listings, become blocks of their own; everything
//! between becomes prose. What HTML may hold is decided in [`crate::html`].

use pulldown_cmark::{BlockQuoteKind, CodeBlockKind, CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::chapter::{Block, BlockKind, Section, SectionKind};
use crate::course::{CourseFilePath, read_text};
use crate::diagnostic::Report;
use crate::fence::{self, Fence};
use crate::html::{self, Balance};
use crate::source::Source;
use crate::svg;

/// What kind of text is rendered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A chapter's lesson: everything.
    Lesson,
    /// A lab's brief: prose, listings and files.
    Brief,
    /// A lab's debrief: prose and listings.
    Debrief,
}

/// Where a text stands.
pub(crate) struct Context<'a> {
    pub(crate) source: &'a dyn Source,
    pub(crate) directory: &'a str,
    pub(crate) files: &'a [CourseFilePath],
    pub(crate) kind: Kind,
}

/// An address in a text.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Link {
    /// The file it stands in.
    pub(crate) file: String,
    /// Its line.
    pub(crate) line: usize,
    /// `#id`, `/ch03` or `/ch03#id`.
    pub(crate) to: String,
}

/// A text, rendered.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    pub(crate) sections: Vec<Section>,
    pub(crate) links: Vec<Link>,
}

type At<'a> = (Event<'a>, std::ops::Range<usize>);

/// Render the text after its front matter, which ends at `from`.
pub(crate) fn markdown(text: &str, from: usize, context: &Context<'_>, report: &mut Report<'_>) -> Rendered {
    // Blanks instead of the front matter keep every offset as it is in the file.
    let blanked: String = text[..from].bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }).collect::<String>() + &text[from..];
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_HEADING_ATTRIBUTES | Options::ENABLE_GFM;
    let events: Vec<At<'_>> = Parser::new_ext(&blanked, options).into_offset_iter().collect();
    let mut reader = Reader {
        context,
        report,
        rendered: Rendered::default(),
        memory: fence::Memory::default(),
        prose: Vec::new(),
        prose_at: 0,
        balance: Balance::default(),
    };
    reader.memory.section = "top".into();
    reader.rendered.sections.push(Section { id: "top".into(), level: 2, line: 1, ..Section::default() });
    let mut at = 0;
    while at < events.len() {
        let end = block_end(&events, at);
        reader.block(&events[at..end]);
        at = end;
    }
    reader.flush();
    let mut rendered = reader.rendered;
    rendered.sections.retain(|section| !(section.title.is_empty() && section.blocks.is_empty()));
    rendered
}

/// The blocks of all sections, headings as prose.
pub(crate) fn flatten(sections: Vec<Section>) -> Vec<Block> {
    let mut blocks = Vec::new();
    for section in sections {
        if !section.title_html.is_empty() {
            let html = format!("<h{0}>{1}</h{0}>\n", section.level + 1, section.title_html);
            blocks.push(Block { line: section.line, kind: BlockKind::Prose { html } });
        }
        blocks.extend(section.blocks);
    }
    blocks
}

/// A text without blocks of its own, as HTML.
pub(crate) fn as_html(sections: Vec<Section>) -> String {
    let mut out = String::new();
    for block in flatten(sections) {
        match block.kind {
            BlockKind::Prose { html } => out.push_str(&html),
            BlockKind::Code { language, text, .. } => out.push_str(&html::listing(&language, &text)),
            _ => {}
        }
    }
    out
}

/// Where the block that begins at `at` ends.
fn block_end(events: &[At<'_>], at: usize) -> usize {
    let mut depth = 0usize;
    for (index, (event, _)) in events.iter().enumerate().skip(at) {
        match event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return index + 1;
        }
    }
    events.len()
}

struct Reader<'a, 'r, 't> {
    context: &'a Context<'a>,
    report: &'r mut Report<'t>,
    rendered: Rendered,
    memory: fence::Memory,
    prose: Vec<Event<'static>>,
    prose_at: usize,
    balance: Balance,
}

impl Reader<'_, '_, '_> {
    fn block(&mut self, events: &[At<'_>]) {
        let (first, range) = &events[0];
        match first {
            Event::Start(Tag::Heading { level: HeadingLevel::H1, .. }) => {
                let help = Some("begin sections with `##`; the title of the chapter is in the front matter".into());
                self.report.error_with_help(range.start, "a heading with one `#`", help);
            }
            Event::Start(Tag::Heading { level: HeadingLevel::H2 | HeadingLevel::H3, .. }) => self.heading(events),
            Event::Start(Tag::CodeBlock(kind)) => self.fence(kind, events),
            Event::Start(Tag::Paragraph) if is_picture(events) => self.picture(events),
            _ => self.more_prose(events),
        }
    }

    fn section(&mut self) -> &mut Section {
        if self.rendered.sections.is_empty() {
            self.rendered.sections.push(Section::default());
        }
        let last = self.rendered.sections.len() - 1;
        &mut self.rendered.sections[last]
    }

    fn flush(&mut self) {
        self.balance.close(self.prose_at, self.report);
        if self.prose.is_empty() {
            return;
        }
        let mut html = String::new();
        pulldown_cmark::html::push_html(&mut html, self.prose.drain(..));
        let line = self.report.line_of(self.prose_at);
        self.section().blocks.push(Block { line, kind: BlockKind::Prose { html } });
    }

    fn more_prose(&mut self, events: &[At<'_>]) {
        if self.prose.is_empty() {
            self.prose_at = events[0].1.start;
        }
        let safe = self.safe(events);
        self.prose.extend(safe);
    }

    /// Events that may leave: nothing foreign in them, alerts with their titles.
    fn safe(&mut self, events: &[At<'_>]) -> Vec<Event<'static>> {
        let mut out = Vec::new();
        let mut quotes = Vec::new();
        for (event, range) in events {
            let at = range.start;
            match event {
                Event::Start(Tag::BlockQuote(kind)) => {
                    quotes.push(*kind);
                    out.push(Event::Html(html::quote(*kind).into()));
                }
                Event::End(TagEnd::BlockQuote(_)) => {
                    quotes.pop();
                    out.push(Event::Html("</blockquote>\n".into()));
                }
                Event::Html(text) | Event::InlineHtml(text) => {
                    if let Some(text) = self.balance.take(text, at, self.report) {
                        out.push(Event::Html(CowStr::from(text)));
                    }
                }
                Event::Start(Tag::Link { dest_url, .. }) => {
                    self.link(dest_url, at);
                    out.push(event.clone().into_static());
                }
                Event::Start(Tag::Image { .. }) => {
                    self.report.error_with_help(at, "a picture inside of text", Some("put it into a paragraph of its own".into()));
                }
                Event::End(TagEnd::Image) => {}
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    if info.split_whitespace().nth(1).is_some() {
                        let help = Some("move it out of the list, quote or details it stands in".into());
                        self.report.error_with_help(at, "a fence with a verb stands by itself", help);
                    }
                    out.push(event.clone().into_static());
                }
                _ => out.push(event.clone().into_static()),
            }
        }
        out
    }

    fn link(&mut self, to: &str, at: usize) {
        let inside = to.starts_with('#') || (to.starts_with('/') && !to.starts_with("//"));
        if !inside {
            let help = "Drydock works offline: write an address as `code`, a section as #id, a chapter as /ch03";
            self.report.error_with_help(at, format!("a link out of the course, {to}"), Some(help.into()));
            return;
        }
        let (file, line) = (self.report.file().to_owned(), self.report.line_of(at));
        self.rendered.links.push(Link { file, line, to: to.to_owned() });
    }

    fn heading(&mut self, events: &[At<'_>]) {
        self.flush();
        let (Event::Start(Tag::Heading { level, id, classes, attrs }), range) = &events[0] else { return };
        let at = range.start;
        let inner = &events[1..events.len() - 1];
        let title = title_text(inner);
        let mut title_html = String::new();
        let safe = self.safe(inner);
        pulldown_cmark::html::push_html(&mut title_html, safe.into_iter());
        let mut section = Section {
            id: id.as_ref().map_or_else(|| slug(&title), ToString::to_string),
            title,
            title_html,
            level: *level as u8,
            line: self.report.line_of(at),
            ..Section::default()
        };
        for class in classes {
            match class.as_ref() {
                "try" => section.kind = SectionKind::Exercise,
                "drill" => (section.kind, section.drill) = (SectionKind::Exercise, true),
                other => self.report.error_with_help(at, format!("unknown class `.{other}`"), Some("an exercise is `.try`, an optional one `.drill`".into())),
            }
        }
        if section.kind == SectionKind::Exercise && id.is_none() {
            let help = Some(format!("write {{#{} .try}}", section.id));
            self.report.error_with_help(at, "an exercise needs an id that stays when its title changes", help);
        }
        if section.kind == SectionKind::Exercise && self.context.kind != Kind::Lesson {
            self.report.error_with_help(at, "exercises stand in lessons", Some("take `.try` out".into()));
        }
        for (key, value) in attrs {
            self.heading_attribute(&mut section, key, value.as_deref().unwrap_or_default(), at);
        }
        if let Some(other) = self.rendered.sections.iter().find(|other| other.id == section.id) {
            let message = format!("section id `{}` is taken by the heading in line {}", section.id, other.line);
            self.report.error_with_help(at, message, Some("write another one, as {#id}".into()));
        }
        self.memory.section.clone_from(&section.id);
        self.memory.count = 0;
        self.rendered.sections.push(section);
    }

    fn heading_attribute(&mut self, section: &mut Section, key: &str, value: &str, at: usize) {
        let value = value.trim_matches(['"', '\'']);
        match key {
            "est" => section.minutes = fence::minutes(value, at, self.report),
            "ref" => section.reference = Some(value.to_owned()),
            "book" => section.book = Some(value.to_owned()),
            other => {
                let help = Some("known here: est, ref, book".into());
                self.report.error_with_help(at, format!("unknown attribute `{other}`"), help);
            }
        }
    }

    fn fence(&mut self, kind: &CodeBlockKind<'_>, events: &[At<'_>]) {
        let info = match kind {
            CodeBlockKind::Fenced(info) => info.as_ref(),
            CodeBlockKind::Indented => "",
        };
        if self.balance.is_open() {
            self.more_prose(events);
            return;
        }
        self.flush();
        let at = events[0].1.start;
        let body: String = events[1..].iter().filter_map(|(event, _)| if let Event::Text(text) = event { Some(text.as_ref()) } else { None }).collect();
        let body_at = events.get(1).map_or(at, |(_, range)| range.start);
        let line = self.report.line_of(at);
        let fence = Fence { info, body: &body, at, body_at };
        let Some(mut kind) = fence::block(&fence, &mut self.memory, self.context.files, self.report) else { return };
        if let (BlockKind::Check { check }, true) = (&mut kind, self.section().drill) {
            check.optional = true;
        }
        if !self.may_stand(&kind) {
            let help = "a lab's brief holds prose, listings and files; what must be true goes into lab.yaml";
            self.report.error_with_help(at, "this fence cannot stand here", Some(help.into()));
        }
        if matches!(kind, BlockKind::Check { .. }) && self.section().kind != SectionKind::Exercise && self.context.kind == Kind::Lesson {
            let help = "put `.try` at the heading above, as {#id .try}";
            self.report.error_with_help(at, "a check outside of an exercise", Some(help.into()));
        }
        self.section().blocks.push(Block { line, kind });
    }

    fn may_stand(&self, block: &BlockKind) -> bool {
        match (self.context.kind, block) {
            (Kind::Lesson, _) | (_, BlockKind::Prose { .. }) => true,
            (Kind::Brief, BlockKind::Code { .. }) => true,
            (Kind::Debrief, BlockKind::Code { path, .. }) => path.is_none(),
            _ => false,
        }
    }

    fn picture(&mut self, events: &[At<'_>]) {
        self.flush();
        let (Event::Start(Tag::Image { dest_url, .. }), range) = &events[1] else { return };
        let at = range.start;
        let alt = title_text(&events[2..events.len() - 2]);
        if alt.trim().is_empty() {
            let help = Some("say in the brackets what it shows".into());
            self.report.error_with_help(at, "a picture without a description", help);
        }
        let path = format!("{}/{dest_url}", self.context.directory);
        if !dest_url.starts_with("figures/") || !dest_url.ends_with(".svg") {
            let help = Some("put an SVG into figures/ beside the text".into());
            self.report.error_with_help(at, format!("{dest_url} is no picture of this chapter"), help);
            return;
        }
        let text = match read_text(self.context.source, &path) {
            Ok(text) => text,
            Err(error) => {
                self.report.error(at, error.to_string());
                return;
            }
        };
        let stem = dest_url.trim_start_matches("figures/").trim_end_matches(".svg");
        let line = self.report.line_of(at);
        match svg::checked(&text, stem) {
            Ok(svg) => {
                let html = format!("<figure>{svg}<figcaption>{}</figcaption></figure>\n", html::escape(&alt));
                self.section().blocks.push(Block { line, kind: BlockKind::Prose { html } });
            }
            Err(problem) => self.report.error(at, format!("{path}: {problem}")),
        }
    }
}

fn is_picture(events: &[At<'_>]) -> bool {
    let ends = matches!(events.get(events.len().wrapping_sub(2)), Some((Event::End(TagEnd::Image), _)));
    let inner = events.iter().filter(|(event, _)| matches!(event, Event::Start(Tag::Image { .. }))).count();
    ends && inner == 1 && matches!(events.get(1), Some((Event::Start(Tag::Image { .. }), _)))
}

/// Text of a heading, with `code` in backticks.
fn title_text(events: &[At<'_>]) -> String {
    let mut out = String::new();
    for (event, _) in events {
        match event {
            Event::Text(text) => out.push_str(text),
            Event::Code(text) => {
                out.push('`');
                out.push_str(text);
                out.push('`');
            }
            Event::SoftBreak | Event::HardBreak => out.push(' '),
            _ => {}
        }
    }
    out
}

/// An id made of a title.
fn slug(title: &str) -> String {
    let mut out = String::new();
    for c in title.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.ends_with('-') && !out.is_empty() {
            out.push('-');
        }
    }
    out.trim_end_matches('-').to_owned()
}

/// Name and title of a kind of aside.
pub(crate) fn aside(kind: BlockQuoteKind) -> (&'static str, &'static str) {
    match kind {
        BlockQuoteKind::Note => ("note", "Note"),
        BlockQuoteKind::Tip => ("tip", "Tip"),
        BlockQuoteKind::Important => ("important", "Important"),
        BlockQuoteKind::Warning => ("warning", "Warning"),
        BlockQuoteKind::Caution => ("caution", "Caution"),
    }
}
