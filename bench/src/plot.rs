//! A plot of cost over size, both logarithmic, as SVG.

use std::fmt::Write as _;

/// How the cost of one thing grows: (size, cost) from the smallest size up.
#[derive(Debug, Clone)]
pub(crate) struct Curve {
    /// What grows.
    pub(crate) name: String,
    /// (size, cost).
    pub(crate) points: Vec<(f64, f64)>,
}

impl Curve {
    /// The exponent between the two largest sizes: 1 is linear.
    pub(crate) fn exponent(&self) -> Option<f64> {
        let [.., (size, cost), (larger, more)] = self.points.as_slice() else { return None };
        Some((more / cost).ln() / (larger / size).ln())
    }

    /// Decimal logarithms of size and cost, each over the smallest.
    fn relative(&self) -> Vec<(f64, f64)> {
        let Some((size, cost)) = self.points.first() else { return Vec::new() };
        self.points.iter().map(|(s, c)| ((s / size).log10(), (c / cost).log10())).collect()
    }
}

const COLOURS: [&str; 8] =
    ["#1b6ca8", "#c8553d", "#3a7d44", "#7b4fa3", "#b8860b", "#008b8b", "#a0305f", "#556b2f"];
const LEFT: f64 = 60.0;
const TOP: f64 = 20.0;
const SIDE: f64 = 380.0;

/// Draws curves over their smallest sizes and costs, beside the line of what is linear.
pub(crate) fn draw(curves: &[Curve]) -> String {
    let all = curves.iter().flat_map(Curve::relative);
    let decades = all.fold(1.0_f64, |most, (x, y)| most.max(x).max(y)).ceil();
    let x = |value: f64| LEFT + SIDE * value / decades;
    let y = |value: f64| TOP + SIDE * (1.0 - value / decades);
    let mut svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 800 450\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"800\" height=\"450\" fill=\"#fff\"/>\n".to_string();
    for decade in 0..=decades as i32 {
        let (at_x, at_y) = (x(decade.into()), y(decade.into()));
        let label = 10_f64.powi(decade);
        let _ = write!(
            svg,
            "<path d=\"M{at_x:.1} {TOP}V{:.1}M{LEFT} {at_y:.1}H{:.1}\" stroke=\"#ddd\"/>\n\
             <text x=\"{at_x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>\n",
            TOP + SIDE,
            LEFT + SIDE,
            TOP + SIDE + 16.0,
            LEFT - 6.0,
            at_y + 4.0,
        );
    }
    let _ = write!(
        svg,
        "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"#999\" stroke-dasharray=\"4 4\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">times the smallest size</text>\n\
         <text x=\"14\" y=\"{:.1}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {:.1})\">times its CPU time</text>\n",
        x(0.0),
        y(0.0),
        x(decades),
        y(decades),
        LEFT + SIDE / 2.0,
        TOP + SIDE + 36.0,
        TOP + SIDE / 2.0,
        TOP + SIDE / 2.0,
    );
    for (index, (curve, colour)) in curves.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let points: Vec<String> =
            curve.relative().iter().map(|(a, b)| format!("{:.1},{:.1}", x(*a), y(*b))).collect();
        let line = TOP + 14.0 + 20.0 * index as f64;
        let _ = write!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
             <rect x=\"460\" y=\"{:.1}\" width=\"14\" height=\"3\" fill=\"{colour}\"/>\n\
             <text x=\"480\" y=\"{line:.1}\">{}</text>\n",
            points.join(" "),
            line - 6.0,
            curve.name,
        );
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponent_is_that_of_the_largest_sizes() {
        let curve = |points: &[(f64, f64)]| Curve { name: String::new(), points: points.to_vec() };
        let square = curve(&[(1.0, 9.0), (10.0, 10.0), (100.0, 1000.0)]);
        assert!((square.exponent().unwrap() - 2.0).abs() < 1e-9);
        assert_eq!(curve(&[(1.0, 1.0)]).exponent(), None);
    }

    #[test]
    fn every_curve_is_drawn_and_named() {
        let curve = |name: &str| Curve { name: name.to_owned(), points: vec![(1.0, 2.0), (10.0, 20.0)] };
        let svg = draw(&[curve("rollouts"), curve("frontier")]);
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains(">rollouts<") && svg.contains(">frontier<") && svg.ends_with("</svg>\n"));
    }
}
