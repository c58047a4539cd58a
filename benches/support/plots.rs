//! Plots, as SVG text: lines, distributions and bars are all that is wanted, which is less than a crate for it weighs.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 360.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 48.0;
/// They can be told apart in grey too.
const COLOURS: [&str; 7] = ["#1b6ca8", "#d1495b", "#3a7d44", "#edae49", "#6f4a8e", "#444444", "#66a5ad"];

/// The cumulative distribution of each series: what share of its samples is at most x. `unit` is that of x. A tenth of
/// what is beyond all the 99th percentiles does not stretch the axis.
pub fn cdf(title: &str, unit: &str, series: &[(&str, Vec<f64>)]) -> String {
    let sorted: Vec<_> = series
        .iter()
        .map(|(name, samples)| {
            let mut samples = samples.clone();
            samples.sort_by(f64::total_cmp);
            (*name, samples)
        })
        .collect();
    let at = |samples: &[f64], q: f64| samples[((samples.len() as f64 * q) as usize).min(samples.len() - 1)];
    let filled = || sorted.iter().map(|(_, samples)| samples.as_slice()).filter(|samples| !samples.is_empty());
    let most = filled().map(|samples| at(samples, 0.99)).fold(0.0, f64::max);
    let least = filled().map(|samples| samples[0]).fold(most, f64::min);
    let curves: Vec<_> = sorted
        .iter()
        .map(|(name, samples)| {
            let share = |at: usize| (at + 1) as f64 / samples.len() as f64;
            let points = samples.iter().enumerate().filter(|(_, x)| **x <= most).map(|(at, &x)| (x, share(at)));
            (*name, points.collect::<Vec<_>>())
        })
        .collect();
    Frame::new(title, unit, "share of the units", (least, most), (0.0, 1.0)).with_curves(&curves, false)
}

/// One line for each series of points, with x on a logarithmic axis if it is all above zero and spans a lot.
pub fn lines(title: &str, x: &str, y: &str, series: &[(&str, Vec<(f64, f64)>)]) -> String {
    let all = || series.iter().flat_map(|(_, points)| points);
    let (least, most) = all().fold((f64::MAX, 0.0), |(least, most): (f64, f64), (x, _)| (least.min(*x), most.max(*x)));
    let highest = all().map(|(_, y)| *y).fold(0.0, f64::max);
    let mut frame = Frame::new(title, x, y, (least, most), (0.0, highest * 1.05));
    frame.logarithmic = least > 0.0 && most >= least * 10.0;
    frame.with_curves(series, true)
}

/// A bar for each value, side by side, and a line across at what is to be reached or compared with.
pub fn bars(title: &str, unit: &str, bars: &[(&str, f64)], line: Option<f64>) -> String {
    let most = bars.iter().map(|(_, value)| *value).chain(line).fold(0.0, f64::max);
    let mut frame = Frame::new(title, "", unit, (0.0, bars.len() as f64), (0.0, most * 1.1));
    frame.names = true;
    let mut inside = String::new();
    for (number, (name, value)) in bars.iter().enumerate() {
        let (from, to) = (frame.x(number as f64 + 0.15), frame.x(number as f64 + 0.85));
        let (middle, top, ground) = ((from + to) / 2.0, frame.y(*value), frame.y(0.0));
        let (width, height, colour) = (to - from, ground - top, COLOURS[0]);
        write!(
            inside,
            "<rect x='{from:.1}' y='{top:.1}' width='{width:.1}' height='{height:.1}' fill='{colour}'/>\n\
             <text x='{middle:.1}' y='{:.1}' text-anchor='middle'>{}</text>\n\
             <text x='{middle:.1}' y='{:.1}' text-anchor='middle'>{}</text>\n",
            top - 5.0,
            short(*value),
            ground + 18.0,
            escaped(name),
        )
        .expect("a String");
    }
    if let Some(value) = line {
        let (y, right) = (frame.y(value), WIDTH - RIGHT);
        let colour = COLOURS[1];
        writeln!(inside, "<path d='M{LEFT} {y:.1}H{right}' stroke='{colour}' stroke-dasharray='6 4'/>")
            .expect("a String");
    }
    frame.around(&inside)
}

/// The axes.
struct Frame<'a> {
    title: &'a str,
    across: &'a str,
    up: &'a str,
    xs: (f64, f64),
    ys: (f64, f64),
    logarithmic: bool,
    /// What is along the x axis has names, not numbers.
    names: bool,
}

impl<'a> Frame<'a> {
    fn new(title: &'a str, across: &'a str, up: &'a str, xs: (f64, f64), ys: (f64, f64)) -> Self {
        // A range without an extent would be divided by.
        let wide = |(from, to): (f64, f64)| if to > from { (from, to) } else { (from - 0.5, from + 0.5) };
        Frame { title, across, up, xs: wide(xs), ys: wide(ys), logarithmic: false, names: false }
    }

    fn x(&self, value: f64) -> f64 {
        let (from, to) = self.xs;
        let share =
            if self.logarithmic { (value / from).ln() / (to / from).ln() } else { (value - from) / (to - from) };
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let (from, to) = self.ys;
        HEIGHT - BOTTOM - (value - from) / (to - from) * (HEIGHT - TOP - BOTTOM)
    }

    fn with_curves(&self, curves: &[(&str, Vec<(f64, f64)>)], dots: bool) -> String {
        let mut inside = String::new();
        for (number, (name, points)) in curves.iter().enumerate() {
            let colour = COLOURS[number % COLOURS.len()];
            let mut path = String::new();
            for (at, (x, y)) in points.iter().enumerate() {
                let (x, y) = (self.x(*x), self.y(*y));
                write!(path, "{}{x:.1} {y:.1}", if at == 0 { 'M' } else { 'L' }).expect("a String");
                if dots {
                    writeln!(inside, "<circle cx='{x:.1}' cy='{y:.1}' r='3' fill='{colour}'/>").expect("a String");
                }
            }
            let (x, y) = (WIDTH - RIGHT - 190.0, HEIGHT - BOTTOM - 12.0 - 18.0 * (curves.len() - 1 - number) as f64);
            write!(
                inside,
                "<path d='{path}' stroke='{colour}' stroke-width='2' fill='none'/>\n\
                 <path d='M{x} {y}h20' stroke='{colour}' stroke-width='3'/>\n\
                 <text x='{}' y='{}'>{}</text>\n",
                x + 26.0,
                y + 4.0,
                escaped(name),
            )
            .expect("a String");
        }
        self.around(&inside)
    }

    fn around(&self, inside: &str) -> String {
        let (right, ground) = (WIDTH - RIGHT, HEIGHT - BOTTOM);
        let mut svg = format!(
            "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {HEIGHT}' width='{WIDTH}' height='{HEIGHT}' \
             font-family='sans-serif' font-size='12' fill='#222'>\n<rect width='100%' height='100%' fill='white'/>\n\
             <text x='{LEFT}' y='22' font-size='15' font-weight='bold'>{}</text>\n",
            escaped(self.title),
        );
        for value in ticks(self.ys) {
            let y = self.y(value);
            write!(
                svg,
                "<path d='M{LEFT} {y:.1}H{right}' stroke='#ddd'/>\n\
                 <text x='{}' y='{:.1}' text-anchor='end'>{}</text>\n",
                LEFT - 6.0,
                y + 4.0,
                short(value),
            )
            .expect("a String");
        }
        let across = match (self.names, self.logarithmic) {
            (true, _) => Vec::new(),
            (false, true) => {
                let doubled = std::iter::successors(Some(self.xs.0), |value| Some(value * 2.0));
                doubled.take_while(|value| *value <= self.xs.1 * 1.001).collect()
            }
            (false, false) => ticks(self.xs),
        };
        for value in across {
            let x = self.x(value);
            write!(
                svg,
                "<path d='M{x:.1} {TOP}V{ground}' stroke='#eee'/>\n\
                 <text x='{x:.1}' y='{}' text-anchor='middle'>{}</text>\n",
                ground + 18.0,
                short(value),
            )
            .expect("a String");
        }
        let middle = (TOP + ground) / 2.0;
        write!(
            svg,
            "<path d='M{LEFT} {TOP}V{ground}H{right}' stroke='#222' fill='none'/>\n\
             <text x='{}' y='{}' text-anchor='middle'>{}</text>\n\
             <text transform='translate(16 {middle}) rotate(-90)' text-anchor='middle'>{}</text>\n{inside}</svg>\n",
            (LEFT + right) / 2.0,
            HEIGHT - 10.0,
            escaped(self.across),
            escaped(self.up),
        )
        .expect("a String");
        svg
    }
}

/// Round numbers within a range: five or so.
fn ticks((from, to): (f64, f64)) -> Vec<f64> {
    let rough = (to - from) / 6.0;
    let magnitude = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|n| n * magnitude).into_iter().find(|step| *step >= rough);
    let step = step.unwrap_or(magnitude * 10.0);
    let first = (from / step).ceil() as i64;
    (first..).map(|n| n as f64 * step).take_while(|value| *value <= to + step * 1e-9).collect()
}

fn short(value: f64) -> String {
    let text = match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        large if large >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
