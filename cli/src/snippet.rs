//! Places in what people wrote, underlined, as compilers show them.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::output::plain;
use crate::source::Place;

/// Something to show.
pub(crate) struct Shown<'a> {
    pub(crate) level: Level<'static>,
    /// `None` where the text before has said what it is about.
    pub(crate) title: Option<String>,
    /// The stable name, in brackets behind the level.
    pub(crate) id: Option<String>,
    /// With what to say about each; the first is what it is about.
    pub(crate) places: Vec<(Place<'a>, String)>,
    /// The file, where there is no place in it.
    pub(crate) file: Option<&'a str>,
    /// Said below.
    pub(crate) notes: Vec<String>,
}

impl Shown<'_> {
    /// With colours; whoever prints it strips them where nobody sees them.
    pub(crate) fn render(&self) -> String {
        let mut group = match &self.title {
            Some(title) => {
                let title = self.level.clone().primary_title(plain(title));
                Group::with_title(match &self.id {
                    Some(id) => title.id(plain(id)),
                    None => title,
                })
            }
            None => Group::with_level(self.level.clone()),
        };
        let mut places = self.places.iter().enumerate().peekable();
        while let Some((_, (first, _))) = places.peek() {
            let source = first.source;
            let mut snippet = Snippet::source(source.text.as_str()).path(plain(&source.name));
            // What stands in one file is shown in one piece.
            while let Some((number, (place, label))) =
                places.next_if(|(_, (place, _))| std::ptr::eq(place.source, source))
            {
                let kind = if number == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
                snippet = snippet.annotation(kind.span(place.range.clone()).label(plain(label)));
            }
            group = group.element(snippet);
        }
        if let Some(file) = self.file {
            group = group.element(Origin::path(plain(file)));
        }
        for note in &self.notes {
            group = group.element(Level::NOTE.message(plain(note)));
        }
        Renderer::styled().render(&[group])
    }
}
