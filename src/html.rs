//! The one way in which text gets into HTML.
//!
//! Templates are `maud`'s: their tags are checked and their texts escaped when they are compiled. What
//! comes from outside goes in as [`shown`], so that it also hides nothing.

use std::borrow::Cow;

use maud::Render;

use crate::visible::visible;

/// A text from outside, for a template.
pub(crate) fn shown(text: &str) -> Shown<'_> {
    Shown(visible(text))
}

/// A text with what can't be seen written out. It is escaped where it is put into a template.
#[derive(Debug)]
pub(crate) struct Shown<'a>(Cow<'a, str>);

impl Render for Shown<'_> {
    fn render_to(&self, buffer: &mut String) {
        self.0.as_ref().render_to(buffer);
    }
}

#[cfg(test)]
mod tests {
    use maud::html;

    use super::*;

    #[test]
    fn nothing_of_a_text_becomes_markup_or_stays_unseen() {
        let hostile = "\"><script>alert('1')</script>&amp;\u{202e}\u{1b}";
        let markup = html! { p title=(shown(hostile)) { (shown(hostile)) } }.into_string();
        let escaped = "&quot;&gt;&lt;script&gt;alert('1')&lt;/script&gt;&amp;amp;\\u{202e}\\u{1b}";
        assert_eq!(markup, format!("<p title=\"{escaped}\">{escaped}</p>"));
    }
}
