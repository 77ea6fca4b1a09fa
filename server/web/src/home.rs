//! The first page: the whole track with its chapters, what each is about and how long it takes. The script adds how far the learner is.

use crate::course::{ChapterOutline, Outline, SectionKind, SectionOutline};
use crate::page::escape;

/// What stands in the middle of the first page.
#[must_use]
pub(crate) fn article(outline: &Outline) -> String {
    let book = outline.book.as_ref().map(|book| format!("<p class=\"credit\">Read it beside <cite>{}</cite>, or by itself.</p>", escape(book))).unwrap_or_default();
    let first = outline.chapters.iter().find(|chapter| chapter.available);
    let begin = first.map(|first| {
        format!(
            "<p class=\"resume\" data-resume><a class=\"button main\" href=\"/{}\">Begin with chapter {}</a><span class=\"resume-where\">{}</span></p>",
            escape(&first.id),
            escape(&first.number),
            escape(&first.title)
        )
    });
    let chapters: String = outline.chapters.iter().map(chapter).collect();
    format!(
        "<article class=\"chapter home\"><header><p class=\"eyebrow\">{}</p><h1>{}</h1>{book}</header>{}<ol class=\"track\">{chapters}</ol></article>",
        total(outline),
        escape(&outline.title),
        begin.unwrap_or_default()
    )
}

/// `6 chapters, about 5 hours`.
fn total(outline: &Outline) -> String {
    let minutes: u32 = outline.chapters.iter().map(minutes).sum();
    let chapters = outline.chapters.iter().filter(|chapter| chapter.available).count();
    let long = match minutes {
        0 => String::new(),
        1..=89 => format!(", about {minutes} minutes"),
        _ => format!(", about {} hours", (minutes + 30) / 60),
    };
    format!("{chapters} {}{long}", if chapters == 1 { "chapter" } else { "chapters" })
}

/// Everything but the drills, which are for those who want more.
fn counted(chapter: &ChapterOutline) -> impl Iterator<Item = &SectionOutline> {
    chapter.sections.iter().filter(|section| section.drill.is_empty())
}

fn minutes(chapter: &ChapterOutline) -> u32 {
    counted(chapter).filter_map(|section| section.minutes).sum()
}

fn chapter(chapter: &ChapterOutline) -> String {
    let (id, number, title) = (escape(&chapter.id), escape(&chapter.number), escape(&chapter.title));
    let summary = chapter.summary.as_ref().map(|summary| format!("<p class=\"about\">{}</p>", escape(summary))).unwrap_or_default();
    if !chapter.available {
        return format!("<li class=\"later\"><span class=\"n\">{number}</span><div><h2>{title}</h2>{summary}<p class=\"facts\">Not written yet</p></div></li>");
    }
    let count = |kind| counted(chapter).filter(|section| section.kind == kind).count();
    let words = |number: usize, one: &str, many: &str| match number {
        0 => None,
        1 => Some(format!("1 {one}")),
        number => Some(format!("{number} {many}")),
    };
    let long = match minutes(chapter) {
        0 => None,
        minutes => Some(format!("{minutes} min")),
    };
    let facts = [long, words(count(SectionKind::Exercise), "exercise", "exercises"), words(count(SectionKind::Lab), "lab", "labs")];
    let facts: Vec<String> = facts.into_iter().flatten().collect();
    let checks: Vec<&str> = chapter.sections.iter().flat_map(|section| &section.checks).map(String::as_str).collect();
    format!(
        "<li data-checks=\"{}\"><span class=\"n\">{number}</span><div><h2><a href=\"/{id}\">{title}</a></h2>{summary}\
         <p class=\"facts\">{}<span class=\"far\" data-far></span></p></div></li>",
        escape(&checks.join(" ")),
        facts.join(" · ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn a_track_says_how_long_it_takes() {
        let section = |minutes| SectionOutline { minutes: Some(minutes), kind: SectionKind::Exercise, checks: vec!["a".into()], ..SectionOutline::default() };
        let chapter = |id: &str, available, minutes: &[u32]| ChapterOutline {
            id: id.into(),
            title: "<b>".into(),
            available,
            sections: minutes.iter().map(|minutes| section(*minutes)).collect(),
            ..ChapterOutline::default()
        };
        let drill = SectionOutline { checks: vec![], drill: vec!["b".into()], ..section(7) };
        let mut first = chapter("ch01", true, &[10, 20]);
        first.sections.push(drill);
        let outline = Outline { chapters: vec![first, chapter("ch02", true, &[100]), chapter("ch03", false, &[])], ..Outline::default() };
        let html = article(&outline);
        for part in ["2 chapters, about 2 hours", "30 min · 2 exercises", "href=\"/ch01\"", "Not written yet", "&lt;b&gt;"] {
            assert!(html.contains(part), "{part}: {html}");
        }
        assert!(!html.contains("href=\"/ch03\""));
    }
}
