//! What one benchmark program has found: its part of benches/RESULTS.md, and the lines that programs read.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use super::Result;

/// What a figure has to reach.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// It explains others.
    None,
}

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Target::AtMost(most) => value <= most,
            Target::AtLeast(least) => value >= least,
            Target::None => true,
        }
    }
}

/// Figures, tables and plots of one program.
#[derive(Debug, Default)]
pub struct Part {
    name: String,
    text: String,
    lines: String,
    figures: Vec<Vec<String>>,
    plots: Vec<(String, String)>,
}

impl Part {
    /// `name` is the program's, and that of its files; `title` the heading.
    pub fn new(name: &str, title: &str) -> Self {
        Part { name: name.into(), text: format!("### {title}\n"), ..Part::default() }
    }

    pub fn paragraph(&mut self, text: &str) {
        write!(self.text, "\n{text}\n").expect("a String");
    }

    pub fn table(&mut self, head: &[&str], rows: &[Vec<String>]) {
        self.text.push('\n');
        self.text.push_str(&table(head, rows));
    }

    /// `noise` is the same figure of one thing against itself (the A/A pair), which is printed as `noise_NAME`.
    pub fn figure(&mut self, name: &str, value: f64, unit: &str, target: Target, noise: Option<f64>) {
        let digits = if value.abs() < 100.0 { 3 } else { 0 };
        if let Some(noise) = noise {
            writeln!(self.lines, "bench: noise_{name} {noise:.3} {unit}").expect("a String");
        }
        writeln!(self.lines, "bench: {name} {value:.digits$} {unit}").expect("a String");
        let bound = match target {
            Target::AtMost(most) => format!("at most {most}"),
            Target::AtLeast(least) => format!("at least {least}"),
            Target::None => String::new(),
        };
        let reached = match target {
            Target::None => "",
            _ if target.is_met(value) => "yes",
            _ => "**no**",
        };
        let noise = noise.map_or(String::new(), |noise| format!("{noise:.3}"));
        self.figures.push(vec![format!("`{name}`"), format!("{value:.digits$} {unit}"), noise, bound, reached.into()]);
    }

    /// An SVG, shown in the text at this place.
    pub fn plot(&mut self, name: &str, caption: &str, svg: String) {
        let file = format!("{}-{name}.svg", self.name);
        write!(self.text, "\n![{caption}](plots/{file})\n").expect("a String");
        self.plots.push((file, svg));
    }

    /// Prints it all, and writes it to the folder `SDRUN_BENCH_DIR` for benches/collect.
    pub fn finish(mut self) -> Result<()> {
        let figures = std::mem::take(&mut self.figures);
        if !figures.is_empty() {
            self.paragraph("`noise` is the same figure of one thing against itself.");
            self.table(&["figure", "value", "noise", "to reach", "reached"], &figures);
        }
        print!("\n{}\n{}", self.text, self.lines);
        if let Some(folder) = std::env::var_os("SDRUN_BENCH_DIR").map(PathBuf::from) {
            std::fs::create_dir_all(&folder)?;
            std::fs::write(folder.join(format!("{}.md", self.name)), &self.text)?;
            std::fs::write(folder.join(format!("{}.lines", self.name)), &self.lines)?;
            for (file, svg) in &self.plots {
                std::fs::write(folder.join(file), svg)?;
            }
        }
        Ok(())
    }
}

pub fn micros(time: Duration) -> String {
    time.as_micros().to_string()
}

pub fn ratio(ratio: f64) -> String {
    format!("{ratio:.3}")
}

/// A table whose first column, and whatever else holds no number, is text.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        cells.chain([head[at].chars().count(), 3]).max().unwrap_or_default()
    };
    let is_number = |at: usize| rows.iter().all(|row| row[at].starts_with(|c: char| c.is_ascii_digit()));
    let columns: Vec<_> = (0..head.len()).map(|at| (width(at), is_number(at))).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::from("|");
        for (&(width, number), cell) in columns.iter().zip(cells) {
            let written = if number { write!(line, " {cell:>width$} |") } else { write!(line, " {cell:<width$} |") };
            written.expect("a String");
        }
        line + "\n"
    };
    let rule = columns.iter().map(
        |&(width, number)| {
            if number { format!("{}:", "-".repeat(width - 1)) } else { "-".repeat(width) }
        },
    );
    let rule: Vec<_> = rule.collect();
    let mut text = line(&mut head.iter().copied());
    text += &line(&mut rule.iter().map(String::as_str));
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}
