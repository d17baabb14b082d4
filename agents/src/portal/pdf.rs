//! One-page PDFs with a heading and lines of text, the same bytes for the same words.

use pdf_writer::{Content, Finish, Name, Pdf, Rect, Ref, Str, TextStr};

/// A4 upright, in points.
const PAGE: Rect = Rect { x1: 0.0, y1: 0.0, x2: 595.0, y2: 842.0 };
const MARGIN: f32 = 72.0;

/// A PDF of one page. The words must be ASCII, which every PDF reader's Helvetica has.
pub(super) fn page(heading: &str, lines: &[String]) -> Vec<u8> {
    let [catalogue, tree, page, bold, plain, content, info] = [1, 2, 3, 4, 5, 6, 7].map(Ref::new);
    let mut pdf = Pdf::new();
    pdf.catalog(catalogue).pages(tree);
    // No dates: the same document is to have the same hash tomorrow.
    pdf.document_info(info).title(TextStr(heading)).producer(TextStr("Flightdeck sample portal"));
    pdf.pages(tree).kids([page]).count(1);

    let mut leaf = pdf.page(page);
    leaf.media_box(PAGE).parent(tree).contents(content);
    leaf.resources().fonts().pair(Name(b"F1"), bold).pair(Name(b"F2"), plain);
    leaf.finish();
    pdf.type1_font(bold).base_font(Name(b"Helvetica-Bold"));
    pdf.type1_font(plain).base_font(Name(b"Helvetica"));

    let mut text = Content::new();
    text.begin_text();
    text.set_font(Name(b"F1"), 18.0);
    text.next_line(MARGIN, PAGE.y2 - MARGIN);
    text.show(Str(heading.as_bytes()));
    text.set_font(Name(b"F2"), 11.0);
    text.next_line(0.0, -32.0);
    for line in lines {
        text.show(Str(line.as_bytes()));
        text.next_line(0.0, -16.0);
    }
    text.end_text();
    pdf.stream(content, &text.finish());
    pdf.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_words_make_the_same_bytes() {
        let lines = ["Wages (box 1): 81,250.00 USD".to_owned()];
        let first = page("W-2", &lines);
        assert_eq!(first, page("W-2", &lines));
        assert!(first.starts_with(b"%PDF-"));
        assert!(first.windows(5).any(|window| window == b"%%EOF"));
    }
}
