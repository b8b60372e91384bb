//! Places on the Earth as 52-bit geohashes, and areas as ranges of them. Longitude and latitude take turns in the bits,
//! so that places near each other share their first bits and a square of the grid is one range. Knows no keys, no
//! members and no sorted sets.
//!
//! The grid is that of Redis: it ends at the latitudes of the Mercator projection. Distances are great circles on a
//! sphere (the haversine formula).

use std::ops::Range;

use smallvec::SmallVec;

/// Greatest longitude, in degrees.
pub const MAX_LONGITUDE: f64 = 180.0;
/// Greatest latitude, in degrees: where the Mercator projection is a square.
pub const MAX_LATITUDE: f64 = 85.051_128_78;
/// Halvings of each axis: two bits of a hash each.
const MAX_STEPS: u32 = 26;
/// Half the length of the equator in the Mercator projection, in metres.
const HALF_EQUATOR_M: f64 = 20_037_726.37;
const EARTH_RADIUS_M: f64 = 6_372_797.560_856;

/// A place, in degrees.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// East of Greenwich.
    pub longitude: f64,
    /// North of the equator.
    pub latitude: f64,
}

// ------------------------------------------------------------------------------------------------ hashes

/// Puts a zero before each of the lower 32 bits.
const fn spread(bits: u32) -> u64 {
    let mut bits = bits as u64;
    bits = (bits | bits << 16) & 0x0000_ffff_0000_ffff;
    bits = (bits | bits << 8) & 0x00ff_00ff_00ff_00ff;
    bits = (bits | bits << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    bits = (bits | bits << 2) & 0x3333_3333_3333_3333;
    (bits | bits << 1) & 0x5555_5555_5555_5555
}

/// Takes every second bit, from the lowest on.
const fn gather(bits: u64) -> u32 {
    let mut bits = bits & 0x5555_5555_5555_5555;
    bits = (bits | bits >> 1) & 0x3333_3333_3333_3333;
    bits = (bits | bits >> 2) & 0x0f0f_0f0f_0f0f_0f0f;
    bits = (bits | bits >> 4) & 0x00ff_00ff_00ff_00ff;
    bits = (bits | bits >> 8) & 0x0000_ffff_0000_ffff;
    (bits | bits >> 16) as u32
}

/// A square of the grid after so many halvings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    column: u32,
    row: u32,
    steps: u32,
}

impl Cell {
    /// The one that a place lies in, on a grid that ends at these latitudes.
    fn of(place: Place, max_latitude: f64, steps: u32) -> Self {
        let cells = f64::from(1_u32 << steps);
        let at = |value: f64, max: f64| ((value + max) / (max * 2.0) * cells) as u32;
        Self {
            column: at(place.longitude, MAX_LONGITUDE),
            row: at(place.latitude, max_latitude),
            steps,
        }
    }

    const fn from_bits(bits: u64, steps: u32) -> Self {
        Self {
            column: gather(bits >> 1),
            row: gather(bits),
            steps,
        }
    }

    const fn bits(self) -> u64 {
        spread(self.column) << 1 | spread(self.row)
    }

    /// Its edges: west and east, south and north.
    fn edges(self) -> (Range<f64>, Range<f64>) {
        let cells = f64::from(1_u32 << self.steps);
        let edges = |at: u32, max: f64| {
            let edge = |at: f64| -max + at / cells * (max * 2.0);
            edge(f64::from(at))..edge(f64::from(at) + 1.0)
        };
        (
            edges(self.column, MAX_LONGITUDE),
            edges(self.row, MAX_LATITUDE),
        )
    }

    fn centre(self) -> Place {
        let (longitudes, latitudes) = self.edges();
        let middle =
            |edges: Range<f64>, max: f64| ((edges.start + edges.end) / 2.0).clamp(-max, max);
        Place {
            longitude: middle(longitudes, MAX_LONGITUDE),
            latitude: middle(latitudes, MAX_LATITUDE),
        }
    }

    /// The one so many cells to the east and to the north, around the grid. The outermost places lie in a cell beyond
    /// the last one, which is left only by moving.
    const fn neighbour(self, east: i32, north: i32) -> Self {
        let mask = (1 << self.steps) - 1;
        Self {
            column: match east {
                0 => self.column,
                _ => self.column.wrapping_add_signed(east) & mask,
            },
            row: match north {
                0 => self.row,
                _ => self.row.wrapping_add_signed(north) & mask,
            },
            steps: self.steps,
        }
    }

    /// The hashes of places within.
    const fn hashes(self) -> Range<u64> {
        let shift = (MAX_STEPS - self.steps) * 2;
        self.bits() << shift..(self.bits() + 1) << shift
    }
}

/// The hash of a place; nothing beyond the grid.
#[must_use]
pub fn encode(place: Place) -> Option<u64> {
    let within = place.longitude.abs() <= MAX_LONGITUDE && place.latitude.abs() <= MAX_LATITUDE;
    within.then(|| Cell::of(place, MAX_LATITUDE, MAX_STEPS).bits())
}

/// The middle of the places that have a hash.
#[must_use]
pub fn decode(hash: u64) -> Place {
    Cell::from_bits(hash, MAX_STEPS).centre()
}

/// The text that the rest of the world calls a geohash: its grid ends at the poles. The last of its 11 characters would
/// need more bits than there are and is always `0`.
#[must_use]
pub fn standard_text(place: Place) -> [u8; 11] {
    const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
    let bits = Cell::of(place, 90.0, MAX_STEPS).bits();
    let mut text = [b'0'; 11];
    for (at, character) in (1..).zip(&mut text[..10]) {
        *character = ALPHABET[(bits >> (MAX_STEPS * 2 - at * 5) & 0x1f) as usize];
    }
    text
}

// ------------------------------------------------------------------------------------------------ distances

/// The inverse of `to_radians` by division, as Redis has it: the last digit decides about cells.
fn degrees(radians: f64) -> f64 {
    radians / (std::f64::consts::PI / 180.0)
}

/// Metres between two places of the same longitude.
fn distance_of_latitudes(one: f64, other: f64) -> f64 {
    EARTH_RADIUS_M * (other.to_radians() - one.to_radians()).abs()
}

/// Metres between two places.
#[must_use]
pub fn distance(one: Place, other: Place) -> f64 {
    let (latitude, second) = (one.latitude.to_radians(), other.latitude.to_radians());
    let east = ((other.longitude.to_radians() - one.longitude.to_radians()) / 2.0).sin();
    let north = ((second - latitude) / 2.0).sin();
    let square = north * north + latitude.cos() * second.cos() * east * east;
    2.0 * EARTH_RADIUS_M * square.sqrt().asin()
}

// ------------------------------------------------------------------------------------------------ areas

/// A shape, in units of its area.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Shape {
    /// Everything within a distance.
    Circle {
        /// Its radius.
        radius: f64,
    },
    /// A rectangle along the lines of the map.
    Rectangle {
        /// From west to east.
        width: f64,
        /// From south to north.
        height: f64,
    },
}

/// A shape around a place.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Area {
    /// Its middle.
    pub centre: Place,
    /// What it looks like.
    pub shape: Shape,
    /// Metres in a unit.
    pub unit_m: f64,
}

impl Area {
    /// Metres from the middle to a place, if that lies within.
    #[must_use]
    pub fn distance_within(&self, place: Place) -> Option<f64> {
        match self.shape {
            Shape::Circle { radius } => {
                let distance = distance(self.centre, place);
                // What is no number, as between opposite ends of the Earth, counts as within.
                if distance > radius * self.unit_m {
                    return None;
                }
                Some(distance)
            }
            Shape::Rectangle { width, height } => {
                let below = Place {
                    latitude: place.latitude,
                    ..self.centre
                };
                let beyond = distance_of_latitudes(place.latitude, self.centre.latitude)
                    > height * self.unit_m / 2.0
                    || distance(place, below) > width * self.unit_m / 2.0;
                (!beyond).then(|| distance(self.centre, place))
            }
        }
    }

    /// Metres from the middle to the farthest corner.
    fn radius_m(&self) -> f64 {
        let radius = match self.shape {
            Shape::Circle { radius } => radius,
            Shape::Rectangle { width, height } => {
                ((width / 2.0) * (width / 2.0) + (height / 2.0) * (height / 2.0)).sqrt()
            }
        };
        radius * self.unit_m
    }

    /// The box around it: longitudes and latitudes. Its width is that at the edge that is nearer to a pole.
    fn bounds(&self) -> (Range<f64>, Range<f64>) {
        let (width, height) = match self.shape {
            Shape::Circle { radius } => (radius, radius),
            Shape::Rectangle { width, height } => (width / 2.0, height / 2.0),
        };
        let Place {
            longitude,
            latitude,
        } = self.centre;
        let north = degrees(self.unit_m * height / EARTH_RADIUS_M);
        let edge = if latitude < 0.0 {
            latitude - north
        } else {
            latitude + north
        };
        let east = degrees(self.unit_m * width / EARTH_RADIUS_M / edge.to_radians().cos());
        (
            longitude - east..longitude + east,
            latitude - north..latitude + north,
        )
    }

    /// How often the grid is halved until nine cells just cover the area.
    fn steps(&self) -> u32 {
        let mut range = self.radius_m();
        if range == 0.0 {
            return MAX_STEPS;
        }
        let mut steps = 1;
        while range < HALF_EQUATOR_M {
            range *= 2.0;
            steps += 1;
        }
        // Cells are narrower towards the poles.
        let latitude = self.centre.latitude.abs();
        let wider = 2 + i32::from(latitude > 66.0) + i32::from(latitude > 80.0);
        (steps - wider).clamp(1, MAX_STEPS as i32) as u32
    }

    /// Ranges of hashes that together hold everything in the area, and some more: at most nine, the middle first. The
    /// order, and which are left out, decide what a search that stops early finds.
    #[must_use]
    pub fn ranges(&self) -> SmallVec<[Range<u64>; 9]> {
        let (longitudes, latitudes) = self.bounds();
        let mut cell = Cell::of(self.centre, MAX_LATITUDE, self.steps());
        let north_edge = |cell: Cell| cell.neighbour(0, 1).edges().1.end;
        let south_edge = |cell: Cell| cell.neighbour(0, -1).edges().1.start;
        let east_edge = |cell: Cell| cell.neighbour(1, 0).edges().0.end;
        let west_edge = |cell: Cell| cell.neighbour(-1, 0).edges().0.start;
        let too_small = north_edge(cell) < latitudes.end
            || south_edge(cell) > latitudes.start
            || east_edge(cell) < longitudes.end
            || west_edge(cell) > longitudes.start;
        if cell.steps > 1 && too_small {
            cell = Cell::of(self.centre, MAX_LATITUDE, cell.steps - 1);
        }
        let (columns, rows) = cell.edges();
        let useful = |(east, north): (i32, i32)| {
            let beside = match east {
                1 => columns.end <= longitudes.end,
                -1 => columns.start >= longitudes.start,
                _ => true,
            };
            let above = match north {
                1 => rows.end <= latitudes.end,
                -1 => rows.start >= latitudes.start,
                _ => true,
            };
            cell.steps < 2 || (beside && above)
        };
        let mut ranges: SmallVec<[Range<u64>; 9]> = SmallVec::new();
        for (east, north) in NEIGHBOURS.into_iter().filter(|offset| useful(*offset)) {
            let range = cell.neighbour(east, north).hashes();
            // On a coarse grid a cell is its own neighbour.
            if ranges.len() < 2 || ranges.last() != Some(&range) {
                ranges.push(range);
            }
        }
        ranges
    }
}

/// East and north, in the order in which cells are searched.
const NEIGHBOURS: [(i32, i32); 9] = [
    (0, 0),
    (0, 1),
    (0, -1),
    (1, 0),
    (-1, 0),
    (1, 1),
    (-1, 1),
    (1, -1),
    (-1, -1),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn place() -> impl Strategy<Value = Place> {
        (-180.0..=180.0, -85.05..=85.05).prop_map(|(longitude, latitude)| Place {
            longitude,
            latitude,
        })
    }

    fn area() -> impl Strategy<Value = Area> {
        let size = prop_oneof![Just(0.0), 0.0..10.0, 0.0..5000.0];
        let circle = size.clone().prop_map(|radius| Shape::Circle { radius });
        let rectangle =
            (size.clone(), size).prop_map(|(width, height)| Shape::Rectangle { width, height });
        (place(), prop_oneof![circle, rectangle]).prop_map(|(centre, shape)| Area {
            centre,
            shape,
            unit_m: 1000.0,
        })
    }

    // What redis-server 7.0.15 answers to ZSCORE, GEOPOS, GEOHASH and GEODIST.
    #[test]
    fn known_places() {
        let palermo = Place {
            longitude: 13.361389,
            latitude: 38.115556,
        };
        let catania = Place {
            longitude: 15.087269,
            latitude: 37.502669,
        };
        assert_eq!(encode(palermo), Some(3_479_099_956_230_698));
        assert_eq!(encode(catania), Some(3_479_447_370_796_909));
        let (palermo, catania) = (decode(3_479_099_956_230_698), decode(3_479_447_370_796_909));
        assert_eq!(palermo.longitude.to_string(), "13.361389338970184");
        assert_eq!(&standard_text(palermo), b"sqc8b49rny0");
        assert_eq!(&standard_text(catania), b"sqdtr74hyu0");
        assert_eq!(format!("{:.4}", distance(palermo, catania)), "166274.1516");
        for (longitude, latitude) in [(180.1, 0.0), (0.0, 85.06), (f64::INFINITY, 0.0)] {
            assert_eq!(
                encode(Place {
                    longitude,
                    latitude
                }),
                None
            );
        }
    }

    proptest! {
        #[test]
        fn hashes_lead_back_to_the_place(place in place()) {
            let hash = encode(place).expect("a place on the grid");
            let back = decode(hash);
            prop_assert!((back.longitude - place.longitude).abs() < 1e-5);
            prop_assert!((back.latitude - place.latitude).abs() < 1e-5);
            prop_assert!(distance(place, back) < 1.0);
        }

        #[test]
        fn spreading_is_undone_by_gathering(bits: u32) {
            prop_assert_eq!(gather(spread(bits)), bits);
            prop_assert_eq!(gather(spread(bits) << 1), 0);
        }

        #[test]
        fn any_hash_is_a_place_on_the_grid(hash: u64) {
            let place = decode(hash);
            prop_assert!(encode(place).is_some());
        }

        /// Not across the date line, where Redis does not look either.
        #[test]
        fn ranges_hold_what_lies_within(area in area(), others in proptest::collection::vec(place(), 50)) {
            let (longitudes, _) = area.bounds();
            prop_assume!(longitudes.start > -MAX_LONGITUDE && longitudes.end < MAX_LONGITUDE);
            let ranges = area.ranges();
            prop_assert!(!ranges.is_empty() && ranges.len() <= 9);
            let near = others.iter().map(|other| Place {
                longitude: area.centre.longitude + other.longitude / 1000.0,
                latitude: area.centre.latitude + other.latitude / 1000.0,
            });
            for place in others.iter().copied().chain(near) {
                let Some(hash) = encode(place) else {
                    continue;
                };
                let found = ranges.iter().any(|range| range.contains(&hash));
                prop_assert!(found || area.distance_within(decode(hash)).is_none(), "{place:?}");
            }
        }
    }
}
