//! The document: a chapter as HTML that is readable without scripts; the script adds the machine beside it.
//!
//! Everything the script needs is in data attributes; nothing is inline. Prose comes from our own Markdown renderer and is
//! trusted, all other text is escaped here.

use crate::course::{Block, Chapter, Outline, Section, SectionKind};
use crate::{highlight, home};

/// Text as HTML.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// A sentence with `code`, **weight** and *stress*, as HTML.
#[must_use]
pub fn inline(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(at) = rest.find(['`', '*']) {
        out.push_str(&escape(&rest[..at]));
        rest = &rest[at..];
        match marked(rest) {
            Some((tag, body, after)) => {
                let body = if tag == "code" { escape(body) } else { inline(body) };
                out.push_str(&format!("<{tag}>{body}</{tag}>"));
                rest = after;
            }
            None => {
                out.push_str(&rest[..1]);
                rest = &rest[1..];
            }
        }
    }
    out + &escape(rest)
}

/// What the mark at the beginning makes of the text up to its fellow, and the text after that. A star in code, or beside a space, is only one.
fn marked(text: &str) -> Option<(&'static str, &str, &str)> {
    [("`", "code"), ("**", "strong"), ("*", "em")].into_iter().find_map(|(mark, tag)| {
        let body = text.strip_prefix(mark)?;
        let fits = |at: &usize| tag == "code" || (body[..*at].trim() == &body[..*at] && body[..*at].matches('`').count() % 2 == 0 && !body[..*at].ends_with('*'));
        let end = body.match_indices(mark).map(|(at, _)| at).filter(|at| *at > 0).find(fits)?;
        Some((tag, &body[..end], &body[end + mark.len()..]))
    })
}

/// A document: what stands in the middle, and what is around it on every page.
struct Shell<'a> {
    outline: &'a Outline,
    /// Empty on the first page.
    id: &'a str,
    title: String,
    number: &'a str,
    main: String,
    nonce: &'a str,
}

/// The document of a chapter.
#[must_use]
pub fn document<E: AsRef<str>>(outline: &Outline, chapter: Option<&Result<std::sync::Arc<Chapter>, E>>, id: &str, nonce: &str) -> String {
    let (title, main) = match chapter {
        Some(Ok(chapter)) => (format!("{} - {}", chapter.title, outline.title), article(outline, chapter)),
        Some(Err(why)) => ("This chapter does not parse".to_owned(), broken(why.as_ref())),
        None => ("No such chapter".to_owned(), missing(outline)),
    };
    let number = match chapter {
        Some(Ok(chapter)) => chapter.number.as_str(),
        _ => "",
    };
    shell(&Shell { outline, id, title, number, main, nonce })
}

/// The first document: the whole track.
#[must_use]
pub fn first(outline: &Outline, nonce: &str) -> String {
    shell(&Shell { outline, id: "", title: format!("{} - Drydock", outline.title), number: "", main: home::article(outline), nonce })
}

fn shell(page: &Shell<'_>) -> String {
    let Shell { outline, id, title, number, main, nonce } = page;
    format!(
        r##"<!doctype html>
<html lang="en" data-chapter="{id}"{home}>
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="drydock-nonce" content="{nonce}">
<title>{title}</title>
<link rel="icon" href="/assets/icon.svg" type="image/svg+xml">
<script src="/assets/theme.js"></script>
<link rel="stylesheet" href="/assets/page.css">
<script type="module" src="/assets/app.js"></script>
</head>
<body>
<a class="skip" href="#lesson">Skip to the lesson</a>
<header class="top">
<a class="brand" href="/" aria-label="Drydock"><svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true"><path d="M3 5v11a4 4 0 0 0 4 4h10a4 4 0 0 0 4-4V5"/><path d="M7 9h10l-1.6 5.2a1 1 0 0 1-1 .8H9.6a1 1 0 0 1-1-.8z" class="hull"/><path d="M12 9V4"/></svg><span>Drydock</span></a>
<p class="crumbs"><a class="crumb-book" href="/">{book}</a><span class="crumb-chapter">{number}</span><span class="crumb-section" data-crumb></span></p>
<div class="tools" data-tools></div>
</header>
<div class="desk" data-desk>
<main id="lesson" tabindex="-1" aria-label="Lesson">{main}</main>
<nav class="contents" aria-label="Contents" data-contents>{contents}</nav>
</div>
<div class="polite" role="status" aria-live="polite" data-announce></div>
</body>
</html>
"##,
        id = escape(id),
        home = if id.is_empty() { " data-home" } else { "" },
        title = escape(title),
        book = escape(&outline.title),
        number = if number.is_empty() { String::new() } else { format!("Chapter {}", escape(number)) },
        contents = contents(outline, id),
    )
}

fn broken(why: &str) -> String {
    format!(
        "<article class=\"chapter\"><p class=\"eyebrow\">This chapter</p><h1>It does not parse</h1>\
         <pre class=\"output\" tabindex=\"0\"><code>{}</code></pre><p>Correct the file and load this page again; the other chapters are not affected.</p></article>",
        escape(why)
    )
}

fn missing(outline: &Outline) -> String {
    let first = outline.chapters.iter().find(|chapter| chapter.available);
    let way = first.map(|chapter| format!("<p><a href=\"/{}\">Go to chapter {}: {}</a></p>", escape(&chapter.id), escape(&chapter.number), escape(&chapter.title)));
    format!("<article class=\"chapter\"><p class=\"eyebrow\">Nothing here</p><h1>There is no such chapter</h1>{}</article>", way.unwrap_or_default())
}

fn contents(outline: &Outline, current: &str) -> String {
    let mut out = format!("<p class=\"contents-title\">{}</p><ol class=\"chapters\">", escape(&outline.title));
    for chapter in &outline.chapters {
        let (id, number, title) = (escape(&chapter.id), escape(&chapter.number), escape(&chapter.title));
        let here = chapter.id == current;
        if !chapter.available {
            out.push_str(&format!("<li class=\"later\"><span><span class=\"n\">{number}</span>{title}</span></li>"));
            continue;
        }
        let aria = if here { " aria-current=\"page\"" } else { "" };
        let checks: Vec<&str> = chapter.sections.iter().flat_map(|s| &s.checks).map(String::as_str).collect();
        out.push_str(&format!("<li data-chapter=\"{id}\" data-checks=\"{}\"><a href=\"/{id}\"{aria}><span class=\"n\">{number}</span>{title}<span class=\"tally\" data-tally></span></a>",
            escape(&checks.join(" "))
        ));
        out.push_str("<ol class=\"sections\">");
        for section in &chapter.sections {
            let kind = kind_name(section.kind);
            out.push_str(&format!("<li class=\"level-{}\" data-kind=\"{kind}\" data-book=\"{}\" data-checks=\"{}\"><a href=\"/{id}#{}\"><span class=\"dot\" aria-hidden=\"true\"></span><span>{}</span></a></li>",
                section.level,
                escape(section.book.as_deref().unwrap_or_default()),
                escape(&if section.checks.is_empty() { &section.drill } else { &section.checks }.join(" ")),
                escape(&section.id),
                escape(&section.title)
            ));
        }
        out.push_str("</ol></li>");
    }
    out.push_str("</ol>");
    out
}

fn kind_name(kind: SectionKind) -> &'static str {
    match kind {
        SectionKind::Text => "text",
        SectionKind::Exercise => "exercise",
        SectionKind::Lab => "lab",
    }
}

/// The chapter itself: what is replaced when the learner turns to another one.
#[must_use]
pub fn article(outline: &Outline, chapter: &Chapter) -> String {
    let mut out = format!(
        "<article class=\"chapter\" data-id=\"{}\"><header><p class=\"eyebrow\">Chapter {}</p><h1>{}</h1></header>",
        escape(&chapter.id),
        escape(&chapter.number),
        escape(&chapter.title)
    );
    for section in &chapter.sections {
        out.push_str(&section_html(section));
    }
    out.push_str(&neighbors(outline, &chapter.id));
    out.push_str("<div data-chapter-end></div></article>");
    out
}

/// The chapters before and after this one.
fn neighbors(outline: &Outline, id: &str) -> String {
    let Some(at) = outline.chapters.iter().position(|chapter| chapter.id == id) else { return String::new() };
    let link = |chapter: Option<&crate::course::ChapterOutline>, way: &str, word: &str| {
        let to = chapter.map(|to| format!("<a class=\"{way}\" rel=\"{way}\" href=\"/{}\"><span>{word}</span>{} {}</a>", escape(&to.id), escape(&to.number), escape(&to.title)));
        to.unwrap_or_default()
    };
    let before = outline.chapters[..at].iter().rev().find(|chapter| chapter.available);
    let after = outline.chapters[at + 1..].iter().find(|chapter| chapter.available);
    match (before, after) {
        (None, None) => String::new(),
        _ => format!("<nav class=\"neighbors\" aria-label=\"Other chapters\">{}{}</nav>", link(before, "prev", "Before"), link(after, "next", "Next")),
    }
}

fn section_html(section: &Section) -> String {
    let kind = kind_name(section.kind);
    let mut out = format!("<section class=\"{kind}\" id=\"{}\" data-section=\"{kind}\" data-solutions=\"{}\">", escape(&section.id), section.solutions.len());
    if !section.title.is_empty() {
        let level = section.level.clamp(2, 4);
        let minutes = section.minutes.map(|m| format!("<span class=\"minutes\">{m} min</span>")).unwrap_or_default();
        let book = section.book.as_ref().map(|book| format!("<span class=\"ref\" title=\"Where the book has it\">book {}</span>", escape(book))).unwrap_or_default();
        let (label, title) = match section.kind {
            SectionKind::Text => ("", section.title.as_str()),
            SectionKind::Exercise => ("Try it now", section.title.trim_start_matches("Try it now: ")),
            SectionKind::Lab => ("Lab", section.title.trim_start_matches("Lab: ")),
        };
        if section.kind != SectionKind::Text {
            out.push_str(&format!("<p class=\"card-head\"><span class=\"label\">{label}</span>{minutes}{book}<span class=\"card-state\" data-card-state></span></p>"));
        }
        out.push_str(&format!("<h{level} tabindex=\"-1\">{}</h{level}>", inline(&capital(title))));
    }
    let mut checks = false;
    for block in &section.blocks {
        let is_check = matches!(block, Block::Check { .. });
        if is_check && !checks {
            out.push_str("<ul class=\"checks\">");
        } else if checks && !is_check {
            out.push_str("</ul>");
        }
        checks = is_check;
        block_html(block, &mut out);
    }
    if checks {
        out.push_str("</ul>");
    }
    if section.kind == SectionKind::Lab {
        out.push_str("<div class=\"lab-end\" data-lab-end></div>");
    }
    out.push_str("</section>");
    out
}

/// What is left of a title without its first words still begins like one.
pub(crate) fn capital(title: &str) -> String {
    let mut chars = title.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// A path of which the middle may go where it is narrow: the file's name stays.
fn figcaption(path: &str) -> String {
    let (head, tail) = path.rsplit_once('/').map_or(("", path), |(head, _)| path.split_at(head.len()));
    format!("<figcaption title=\"{0}\"><span class=\"head\">{1}</span><span class=\"tail\">{2}</span></figcaption>", escape(path), escape(head), escape(tail))
}

fn block_html(block: &Block, out: &mut String) {
    let html = match block {
        Block::Prose { html } => html.clone(),
        Block::Command { id, session, text, typed, inside, exit } => command(id, session, text, *typed, inside.as_deref(), *exit),
        Block::Press { id, session, name, .. } => press(id, session, name),
        Block::Output { text } => format!(
            "<figure class=\"printed\"><figcaption>prints</figcaption><pre class=\"output\" tabindex=\"0\"><code>{}</code></pre></figure>",
            escape(text.trim_end())
        ),
        Block::Code { language, path, text } => {
            let caption = path.as_ref().map(|path| figcaption(path)).unwrap_or_default();
            let data = path.as_ref().map(|path| format!(" data-path=\"{}\"", escape(path))).unwrap_or_default();
            format!(
                "<figure class=\"listing\"{data}>{caption}<div class=\"bar\" data-bar></div><pre tabindex=\"0\"><code data-text=\"{}\">{}</code></pre></figure>",
                escape(text.trim_end()),
                highlight::listing(language, text)
            )
        }
        Block::Ask { id, say, options, prediction } => ask(id, say, options, *prediction),
        Block::NotHere { say, why } if say.is_empty() => format!("<p class=\"not-here\"><b>Not on this cluster.</b> {}</p>", inline(why)),
        Block::NotHere { say, why } => format!("<p class=\"not-here\"><span>{}</span> <b>Not judged on this cluster.</b> {}</p>", inline(say), inline(why)),
        Block::Check { id, say, optional, hints } => format!(
            "<li class=\"check\" id=\"check-{id}\" data-check=\"{id}\" data-hints=\"{}\" data-optional=\"{optional}\" data-state=\"waiting\">\
             <span class=\"mark\" aria-hidden=\"true\"></span><div class=\"check-text\"><p class=\"say\">{}{}</p><p class=\"note\" data-note></p></div>\
             <div class=\"check-tools\" data-check-tools></div></li>",
            hints.len(),
            inline(say),
            if *optional { " <span class=\"optional\">optional</span>" } else { "" },
            id = escape(id),
        ),
    };
    out.push_str(&html);
}

fn command(id: &str, session: &str, text: &str, typed: bool, inside: Option<&str>, exit: Option<i32>) -> String {
    let place = match (inside, session) {
        (Some(_), _) => "inside the Pod".to_owned(),
        (None, "main") => String::new(),
        (None, other) => format!("in terminal {}", escape(other)),
    };
    format!(
        "<figure class=\"command\" id=\"run-{id}\" data-command=\"{id}\" data-session=\"{session}\" data-typed=\"{typed}\" data-exit=\"{}\" data-inside=\"{}\">\
         <div class=\"bar\" data-bar><span class=\"where\">{place}</span></div><pre tabindex=\"0\"><code data-text=\"{}\">{}</code></pre></figure>",
        exit.map(|exit| exit.to_string()).unwrap_or_default(),
        escape(inside.unwrap_or_default()),
        escape(text.trim_end()),
        highlight::shell(text),
        id = escape(id),
        session = escape(session),
    )
}

fn press(id: &str, session: &str, name: &str) -> String {
    let keys: Vec<String> = name.split('+').map(|key| format!("<kbd>{}</kbd>", escape(key))).collect();
    let place = if session == "main" { String::new() } else { format!(" in terminal {}", escape(session)) };
    format!(
        "<figure class=\"press\" id=\"run-{id}\" data-press=\"{id}\" data-session=\"{session}\" data-keys=\"{}\">\
         <p>Press {}{place}</p><div class=\"bar\" data-bar></div></figure>",
        escape(name),
        keys.join("+"),
        id = escape(id),
        session = escape(session),
    )
}

fn ask(id: &str, say: &str, options: &[String], prediction: bool) -> String {
    let id = escape(id);
    let label = if prediction { "Predict" } else { "Answer" };
    let submit = format!("<button type=\"submit\">{label}</button>");
    let mut fields = String::new();
    for (index, option) in options.iter().enumerate() {
        fields.push_str(&format!(
            "<label class=\"option\"><input type=\"radio\" name=\"answer\" value=\"{value}\" id=\"ask-{id}-{index}\"><span>{text}</span></label>",
            value = escape(option),
            text = inline(option)
        ));
    }
    let after = if options.is_empty() {
        fields = format!("<input type=\"text\" name=\"answer\" autocomplete=\"off\" spellcheck=\"false\" aria-label=\"Your answer\">{submit}");
        String::new()
    } else {
        submit
    };
    format!(
        "<form class=\"ask\" data-ask=\"{id}\" data-prediction=\"{prediction}\"><fieldset><legend><span class=\"label\">{label}</span> {}</legend>\
         <div class=\"options\">{fields}</div></fieldset><div class=\"ask-row\">{after}<p class=\"because\" data-because></p></div></form>",
        inline(say)
    )
}

/// The ways to solve a lab.
#[must_use]
pub fn solutions(section: &Section) -> String {
    let each = section.solutions.iter().map(|solution| {
        format!(
            "<h4>{}</h4><figure class=\"listing\"><div class=\"bar\" data-bar></div><pre tabindex=\"0\"><code data-text=\"{}\">{}</code></pre></figure>",
            inline(&solution.title),
            escape(solution.text.trim_end()),
            highlight::shell(&solution.text)
        )
    });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_has_code_weight_and_stress() {
        let cases = [
            ("A `Pod` **is** the *node*.", "A <code>Pod</code> <strong>is</strong> the <em>node</em>."),
            ("**The `kubelet` starts it**", "<strong>The <code>kubelet</code> starts it</strong>"),
            ("`a * b` and `**`", "<code>a * b</code> and <code>**</code>"),
            ("*.yaml and 2 * 3, <b> `", "*.yaml and 2 * 3, &lt;b&gt; `"),
            ("**a", "**a"),
            ("*a `*` b*", "<em>a <code>*</code> b</em>"),
        ];
        for (text, html) in cases {
            assert_eq!(inline(text), html);
        }
    }

    #[test]
    fn only_prose_is_trusted() {
        let text = "<script>alert(1)</script>".to_owned();
        let blocks = vec![
            Block::Command { id: "a\"b".into(), session: "main".into(), text: text.clone(), typed: false, inside: None, exit: Some(0) },
            Block::Press { id: "a\"b".into(), session: text.clone(), name: text.clone(), byte: 3 },
            Block::Output { text: text.clone() },
            Block::Code { language: "yaml".into(), path: Some(text.clone()), text: text.clone() },
            Block::Ask { id: "q".into(), say: text.clone(), options: vec![text.clone()], prediction: true },
            Block::Check { id: "c".into(), say: format!("`{text}` {text}"), optional: false, hints: vec![] },
        ];
        let section = Section { id: "s".into(), title: text.clone(), level: 2, blocks, ..Section::default() };
        let chapter = Chapter { id: "ch02".into(), title: text, sections: vec![section], ..Chapter::default() };
        let html = article(&Outline::default(), &chapter);
        assert!(!html.contains("<script"), "{html}");
        assert!(!html.contains("a\"b"), "{html}");
    }
}
