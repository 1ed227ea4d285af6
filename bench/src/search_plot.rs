//! The curves of score over calls, one panel a landscape, as SVG that is read on light and dark ground.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::search_series::{Group, Point, groups};

const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 180.0;
const GAP: f64 = 60.0;
const COLUMNS: usize = 2;
const MOST_CALLS: f64 = 1500.0;
const COLOURS: [&str; 9] =
    ["#3b82c4", "#d9633b", "#3f9a54", "#9a66c9", "#8a8a8a", "#b8860b", "#1a9a9a", "#c94f86", "#708238"];
const STYLE: &str = "text{fill:#555}.g{stroke:#8886;fill:none}.l{fill:none;stroke-width:2}\
                     @media(prefers-color-scheme:dark){text{fill:#bbb}}";

/// The plot: medians over calls, with a bar from the lowest to the highest.
pub(crate) fn draw(points: &[Point]) -> String {
    let groups: Vec<Group> = groups(points).into_iter().filter(|group| group.budget > 0).collect();
    let mut landscapes: Vec<&str> = Vec::new();
    let mut methods: Vec<&str> = Vec::new();
    for group in &groups {
        if !landscapes.contains(&group.landscape) {
            landscapes.push(group.landscape);
        }
        if !methods.contains(&group.method.as_str()) {
            methods.push(&group.method);
        }
    }
    // The legend takes the place behind the last panel.
    let rows = (landscapes.len() + 1).div_ceil(COLUMNS) as f64;
    let (width, height) = (COLUMNS as f64 * (WIDTH + GAP) + GAP, rows * (HEIGHT + GAP) + 20.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<style>{STYLE}</style>\n"
    );
    for (index, landscape) in landscapes.iter().enumerate() {
        let mine: Vec<&Group> = groups.iter().filter(|group| group.landscape == *landscape).collect();
        panel(&mut svg, landscape, &mine, &methods, corner(index));
    }
    let (left, top) = corner(landscapes.len());
    for (index, (method, colour)) in methods.iter().zip(COLOURS).enumerate() {
        let y = top + 20.0 + 20.0 * index as f64;
        let _ = writeln!(
            svg,
            "<path class=\"l\" stroke=\"{colour}\" d=\"M{left} {y}h24\"/><text x=\"{}\" y=\"{}\">{method}</text>",
            left + 32.0,
            y + 4.0
        );
    }
    svg + "</svg>\n"
}

fn corner(index: usize) -> (f64, f64) {
    let (column, row) = ((index % COLUMNS) as f64, (index / COLUMNS) as f64);
    (GAP + column * (WIDTH + GAP), 30.0 + row * (HEIGHT + GAP))
}

fn panel(svg: &mut String, name: &str, groups: &[&Group], methods: &[&str], (left, top): (f64, f64)) {
    let x = |calls: f64| left + WIDTH * calls / MOST_CALLS;
    let y = |score: f64| top + HEIGHT * (1.0 - score);
    let _ = writeln!(svg, "<text x=\"{left}\" y=\"{}\" font-weight=\"bold\">{name}</text>", top - 8.0);
    for percent in [0, 25, 50, 75, 100] {
        let at = y(f64::from(percent) / 100.0);
        let _ = writeln!(
            svg,
            "<path class=\"g\" d=\"M{left} {at}h{WIDTH}\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{percent}</text>",
            left - 6.0,
            at + 4.0
        );
    }
    let budgets: BTreeSet<u64> = groups.iter().map(|group| group.budget).collect();
    for budget in budgets {
        let at = x(budget as f64);
        let under = top + HEIGHT + 16.0;
        let _ = writeln!(svg, "<text x=\"{at:.1}\" y=\"{under}\" text-anchor=\"middle\">{budget}</text>");
    }
    for (index, (method, colour)) in methods.iter().zip(COLOURS).enumerate() {
        let mine = groups.iter().filter(|group| group.method == *method);
        // Side by side, so that the bars do not cover each other.
        let shift = 3.0 * index as f64 - 7.5;
        let mut line = String::new();
        for (number, group) in mine.enumerate() {
            let ((low, high), at) = (group.range(), x(group.budget as f64) + shift);
            let command = if number == 0 { 'M' } else { 'L' };
            let _ = write!(line, "{command}{at:.1} {:.1}", y(group.median()));
            let (low, high) = (y(low), y(high));
            let _ = writeln!(
                svg,
                "<path stroke=\"{colour}\" opacity=\"0.5\" d=\"M{at:.1} {low:.1}V{high:.1}\"/>"
            );
        }
        let _ = writeln!(svg, "<path class=\"l\" stroke=\"{colour}\" d=\"{line}\"/>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_landscape_has_a_panel_and_every_optimizer_a_line() {
        let point = |landscape, method: &str, budget| Point {
            landscape,
            method: method.to_owned(),
            budget,
            seed: 0,
            calls: budget,
            score: 0.5,
        };
        let points = [
            point("wording", "COPRO", 250),
            point("wording", "COPRO", 540),
            point("hidden-rules", "GEPA", 250),
            point("hidden-rules", "DSPy COPRO", 0),
        ];
        let svg = draw(&points);
        for text in [">wording<", ">hidden-rules<", ">COPRO<", ">GEPA<"] {
            assert_eq!(svg.matches(text).count(), 1, "{text}");
        }
        assert!(svg.contains('L') && !svg.contains("DSPy"), "{svg}");
    }
}
