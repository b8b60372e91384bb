//! LOLWUT: computer art, with the version below it. Knows no keys.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, SQRT_2};

use super::connection::REDIS_VERSION;
use super::spec::{CommandSpec, Flags};
use super::{CommandError, CommandResult, Context, Outcome};

/// The entries of this family.
pub static COMMANDS: &[CommandSpec] = &[CommandSpec {
    arguments: "version:integer=VERSION?",
    acl: "read fast",
    group: "server",
    since: "5.0.0",
    summary: "Display some computer art and the Redis version",
    ..CommandSpec::new("lolwut", -1, Flags::READONLY.and(Flags::FAST), lolwut)
}];

/// Most columns and lines of text.
const MOST_CELLS: i64 = 1000;
/// Most squares of a row or a column of them.
const MOST_SQUARES: i64 = 200;

fn lolwut(ctx: &mut Context<'_, '_>) -> CommandResult {
    let version = if ctx.is(1, "version") && ctx.args.len() > 2 {
        ctx.int(2)?
    } else {
        0
    };
    let text = match version {
        5 => {
            let columns = size(ctx, 3, 66, MOST_CELLS)?;
            let per_row = size(ctx, 4, 8, MOST_SQUARES)?;
            let rows = size(ctx, 5, 12, MOST_SQUARES)?;
            gravel(ctx, columns, per_row, rows)
        }
        6 => {
            let columns = size(ctx, 3, 80, MOST_CELLS)?;
            let lines = size(ctx, 4, 20, MOST_CELLS)?;
            city(ctx, columns, lines)
        }
        _ => format!("Redis ver. {REDIS_VERSION}\n"),
    };
    ctx.reply.verbatim("txt", text.as_bytes());
    Ok(Outcome::Done)
}

/// A size among the words, if it is given, within what may be drawn.
fn size(
    ctx: &Context<'_, '_>,
    position: usize,
    usual: usize,
    most: i64,
) -> Result<usize, CommandError> {
    if position >= ctx.args.len() {
        return Ok(usual);
    }
    let size = ctx.int(position)?.clamp(1, most);
    Ok(usize::try_from(size).expect("it is at least 1"))
}

/// A number between 0 and `bound`.
fn chance(ctx: &Context<'_, '_>, bound: f64) -> f64 {
    ctx.txn.random() as f64 / u64::MAX as f64 * bound
}

/// A whole number from `from` to `to`.
fn between(ctx: &Context<'_, '_>, from: usize, to: usize) -> usize {
    let choices = to.saturating_sub(from) as u64 + 1;
    from + (ctx.txn.random() % choices) as usize
}

// ------------------------------------------------------------------------------------------------ squares

/// Dots, eight of which are one braille character: two columns of four.
struct Dots {
    width: usize,
    height: usize,
    cells: Vec<u8>,
}

impl Dots {
    const DOTS_ACROSS: usize = 2;
    const DOTS_DOWN: usize = 4;
    /// The bit of each dot, line by line.
    const BITS: [[u8; Self::DOTS_ACROSS]; Self::DOTS_DOWN] =
        [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

    fn new(columns: usize, height: usize) -> Self {
        let lines = height.div_ceil(Self::DOTS_DOWN);
        Self {
            width: columns * Self::DOTS_ACROSS,
            height,
            cells: vec![0; columns * lines],
        }
    }

    /// What lies outside is left out.
    fn set(&mut self, x: i64, y: i64) {
        let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y)) else {
            return;
        };
        if x < self.width && y < self.height {
            let columns = self.width / Self::DOTS_ACROSS;
            let cell = y / Self::DOTS_DOWN * columns + x / Self::DOTS_ACROSS;
            self.cells[cell] |= Self::BITS[y % Self::DOTS_DOWN][x % Self::DOTS_ACROSS];
        }
    }

    /// As many dots as the longer way has steps, each at the place nearest to the line.
    fn line(&mut self, (from_x, from_y): (i64, i64), (to_x, to_y): (i64, i64)) {
        let (across, down) = (to_x - from_x, to_y - from_y);
        let steps = across.abs().max(down.abs()).max(1);
        let part = |way: i64, step: i64| (way as f64 * step as f64 / steps as f64).round() as i64;
        for step in 0..=steps {
            self.set(from_x + part(across, step), from_y + part(down, step));
        }
    }

    /// A square whose middle is the dot at or before `(x, y)`.
    fn square(&mut self, (x, y): (f64, f64), side: f64, turn: f64) {
        let corners: Vec<(i64, i64)> = (0..4)
            .map(|corner| {
                let angle = FRAC_PI_4 + turn + f64::from(corner) * FRAC_PI_2;
                let (across, down) = angle.sin_cos();
                let reach = side / SQRT_2;
                (
                    (x.trunc() + across * reach).round() as i64,
                    (y.trunc() + down * reach).round() as i64,
                )
            })
            .collect();
        for at in 0..corners.len() {
            self.line(corners[at], corners[(at + 1) % corners.len()]);
        }
    }

    /// The lines of text; no line break follows a line of which only the first dots belong to the picture.
    fn text(&self) -> String {
        let columns = self.width / Self::DOTS_ACROSS;
        let mut text = String::with_capacity(self.cells.len() * 3 + self.height);
        for (at, line) in self.cells.chunks(columns).enumerate() {
            text.extend(
                line.iter()
                    .map(|&bits| char::from_u32(0x2800 + u32::from(bits)).unwrap_or(' ')),
            );
            if at * Self::DOTS_DOWN + 1 != self.height {
                text.push('\n');
            }
        }
        text
    }
}

/// Georg Nees's "Schotter" of 1968: rows of squares, which lie the more in disorder the further down they are.
fn gravel(ctx: &Context<'_, '_>, columns: usize, per_row: usize, rows: usize) -> String {
    /// The first rows are in order.
    const CALM_ROWS: usize = 2;
    let width = columns * Dots::DOTS_ACROSS;
    let margin = if width > 4 { 2 } else { 0 };
    let side = (width - 2 * margin) as f64 / per_row as f64;
    let height = side * rows as f64 + (2 * margin) as f64;
    let mut dots = Dots::new(columns, height as usize);
    for row in 0..rows {
        let disorder = if row < CALM_ROWS {
            0.0
        } else {
            row as f64 / rows as f64
        };
        for column in 0..per_row {
            let either = |most: f64| (chance(ctx, 2.0) - 1.0) * most * disorder;
            let turn = either(FRAC_PI_4);
            let middle = |at: usize, shift: f64| margin as f64 + (at as f64 + 0.5) * side + shift;
            let x = middle(column, either(side * 0.3));
            let y = middle(row, either(side * 0.3));
            dots.square((x, y), side, turn);
        }
    }
    format!(
        "{}\nGeorg Nees - schotter, plotter on paper, 1968. Redis ver. {REDIS_VERSION}\n",
        dots.text()
    )
}

// ------------------------------------------------------------------------------------------------ a city

/// The colours, from the sky to the houses in front.
const WHITE: &str = "\x1b[0;97;107m \x1b[0m";
const LIGHT: &str = "\x1b[0;37;47m \x1b[0m";
const GREY: &str = "\x1b[0;90;100m \x1b[0m";
const BLACK: &str = "\x1b[0;30;40m \x1b[0m";

/// Coloured cells, line by line.
struct Colours {
    columns: usize,
    lines: usize,
    cells: Vec<&'static str>,
}

impl Colours {
    /// A rectangle, as far as it is within the picture.
    fn fill(&mut self, (x, y): (i64, i64), across: i64, down: i64, colour: &'static str) {
        let within = |at: i64, bound: usize| usize::try_from(at).unwrap_or(0).min(bound);
        let from = within(x, self.columns);
        let to = within(x + across, self.columns).max(from);
        for line in within(y, self.lines)..within(y + down, self.lines) {
            let start = line * self.columns;
            self.cells[start + from..start + to].fill(colour);
        }
    }

    /// A house that stands on the ground, its roof narrower than its walls.
    fn house(&mut self, x: i64, top: i64, across: i64, colour: &'static str) {
        let inset = (across / 4).min(2);
        self.fill((x + inset, top), across - 2 * inset, 1, colour);
        self.fill((x, top + 1), across, self.lines as i64, colour);
    }

    fn text(&self) -> String {
        let mut text = String::with_capacity(self.cells.len() * WHITE.len());
        for line in self.cells.chunks(self.columns) {
            text.extend(line.iter().copied());
            text.push('\n');
        }
        text
    }
}

/// A city by day: far houses without windows, light and grey, and black ones in front, in whose windows there may be light.
fn city(ctx: &Context<'_, '_>, columns: usize, lines: usize) -> String {
    let mut picture = Colours {
        columns,
        lines,
        cells: vec![WHITE; columns * lines],
    };
    // Where the highest roof of each row of houses may be, in twentieths of the height, and how far apart they stand.
    for (colour, highest, lowest, gap) in [(LIGHT, 1, 8, 4), (GREY, 4, 11, 14), (BLACK, 6, 14, 22)]
    {
        let mut x = -(between(ctx, 0, 10) as i64);
        while x < columns as i64 {
            let across = match colour {
                LIGHT => between(ctx, 12, 24),
                GREY => between(ctx, 9, 17),
                // Room for one window or more, each with the wall beside it, between two walls.
                _ => 4 * between(ctx, 1, 4) + 5,
            } as i64;
            // There is always some sky.
            let top = (between(ctx, highest, lowest) * lines / 20).max(1) as i64;
            picture.house(x, top, across, colour);
            if colour == BLACK {
                windows(ctx, &mut picture, x, top, across);
            }
            x += across + between(ctx, 0, gap) as i64;
        }
    }
    format!(
        "{}Dedicated to the 8 bit game developers of past and present.\n\
         Original 8 bit image from Plaguemon by hikikomori. Redis ver. {REDIS_VERSION}\n",
        picture.text()
    )
}

/// Every other line has windows, but for the ground floor.
fn windows(ctx: &Context<'_, '_>, picture: &mut Colours, x: i64, top: i64, across: i64) {
    const GROUND_FLOOR: i64 = 2;
    let mut line = top + 2;
    while line < picture.lines as i64 - GROUND_FLOOR {
        let mut at = x + 3;
        while at + 2 < x + across {
            let lit = ctx.txn.random().is_multiple_of(2);
            picture.fill((at, line), 2, 1, if lit { LIGHT } else { GREY });
            at += 4;
        }
        line += 2;
    }
}

#[cfg(test)]
mod tests {
    use crate::commands::testing::Harness;
    use crate::reply::Response;

    fn text(line: &str) -> String {
        match Harness::new().run(line) {
            Response::Bulk(bytes) => String::from_utf8(bytes).expect("it is text"),
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn other_versions_are_told_and_not_drawn() {
        for line in [
            "LOLWUT",
            "LOLWUT VERSION",
            "LOLWUT 5 6",
            "LOLWUT x y z",
            "LOLWUT VERSION -1",
            "LOLWUT VERSION 7 x",
        ] {
            assert_eq!(text(line), "Redis ver. 7.2.4\n", "{line}");
        }
        let error = Response::Error("ERR value is not an integer or out of range".into());
        for line in [
            "LOLWUT VERSION x",
            "LOLWUT VERSION 5 x",
            "LOLWUT VERSION 5 1 1 x",
            "LOLWUT VERSION 6 1 x",
        ] {
            assert_eq!(Harness::new().run(line), error, "{line}");
        }
    }

    #[test]
    fn squares_in_order_are_drawn_to_the_dot() {
        let end = "\nGeorg Nees - schotter, plotter on paper, 1968. Redis ver. 7.2.4\n";
        for (line, picture) in [
            ("LOLWUT VERSION 5 1 1 1", "⠋\n"),
            ("LOLWUT VERSION 5 -7 0 0 x", "⠋\n"),
            (
                "LOLWUT VERSION 5 20 2 2",
                "⠀⡤⠤⠤⠤⠤⠤⠤⠤⠤⡤⠤⠤⠤⠤⠤⠤⠤⠤⡄\n\
                 ⠀⡇⠀⠀⠀⠀⠀⠀⠀⠀⡇⠀⠀⠀⠀⠀⠀⠀⠀⡇\n\
                 ⠀⡇⠀⠀⠀⠀⠀⠀⠀⠀⡇⠀⠀⠀⠀⠀⠀⠀⠀⡇\n\
                 ⠀⡇⠀⠀⠀⠀⠀⠀⠀⠀⡇⠀⠀⠀⠀⠀⠀⠀⠀⡇\n\
                 ⠀⡇⠀⠀⠀⠀⠀⠀⠀⠀⡇⠀⠀⠀⠀⠀⠀⠀⠀⡇\n\
                 ⠀⡏⠉⠉⠉⠉⠉⠉⠉⠉⡏⠉⠉⠉⠉⠉⠉⠉⠉⡇\n\
                 ⠀⡇⠀⠀⠀⠀⠀⠀⠀⠀⡇⠀⠀⠀⠀⠀⠀⠀⠀⡇\n\
                 ⠀⡇⠀⠀⠀⠀⠀⠀⠀⠀⡇⠀⠀⠀⠀⠀⠀⠀⠀⡇\n\
                 ⠀⡇⠀⠀⠀⠀⠀⠀⠀⠀⡇⠀⠀⠀⠀⠀⠀⠀⠀⡇\n\
                 ⠀⠧⠤⠤⠤⠤⠤⠤⠤⠤⠧⠤⠤⠤⠤⠤⠤⠤⠤⠇\n",
            ),
        ] {
            assert_eq!(text(line), format!("{picture}{end}"), "{line}");
        }
    }

    #[test]
    fn the_sizes_are_those_that_are_asked_for() {
        // A picture of 13 dots has no line break behind its last line, in which there is one line of dots.
        for (line, lines, columns) in [
            ("LOLWUT VERSION 5", 49, 66),
            ("LOLWUT VERSION 5 20 3 7", 22, 20),
            ("LOLWUT VERSION 5 5000 1 1", 500, 1000),
            ("LOLWUT VERSION 5 5", 4, 5),
            ("LOLWUT VERSION 6", 20, 80),
            ("LOLWUT VERSION 6 40 10", 10, 40),
            ("LOLWUT VERSION 6 0 -1", 1, 1),
            ("LOLWUT VERSION 6 1 5000", 1000, 1),
        ] {
            let text = text(line);
            let picture: Vec<&str> = text.lines().take(lines).collect();
            let width = |line: &str| {
                let coloured = line.matches(" \x1b[0m").count();
                if coloured > 0 {
                    coloured
                } else {
                    line.chars().count()
                }
            };
            assert!(
                picture.iter().all(|line| width(line) == columns),
                "{line}: {text}"
            );
            let rest: Vec<&str> = text.lines().skip(lines).collect();
            assert!(rest.len() <= 2, "{line}: {rest:?}");
            assert!(text.ends_with("Redis ver. 7.2.4\n"), "{line}");
        }
    }
}
