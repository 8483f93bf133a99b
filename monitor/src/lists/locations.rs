//! The countries of a table that names them by number, and keeps the numbers in a second
//! file (`GeoLite2`).

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Country,
    dialect::{Dialect, Fields, is_comment, rows},
    header::Columns,
    list_text, unpack,
};
use crate::regular_file::{self, Purpose};

/// The ends of the names of packed files.
const PACKED: [&str; 4] = [".gz", ".zst", ".xz", ".zip"];

/// The country of each number.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Locations(Arc<BTreeMap<u32, Country>>);

impl Locations {
    /// Reads `geoname_id,…,country_iso_code,…`. Returns `None` if the header does not name
    /// both columns. Rows without a country, such as those of continents, are skipped.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let dialect = Dialect::of(text)?;
        let (names, header) = dialect.header.as_ref()?;
        let place = |name| names.iter().position(|found| found == name);
        let (number, country) = (place("geoname_id")?, place("country_iso_code")?);
        let mut fields = Fields::new(dialect.separator);
        let mut found = BTreeMap::new();
        for row in rows(text).filter(|row| row.line != *header && !is_comment(row.text)) {
            fields.split(row.text);
            let number = fields.get(number).and_then(|text| text.parse::<u32>().ok());
            let country = fields
                .get(country)
                .and_then(|text| text.parse::<Country>().ok());
            found.extend(number.zip(country));
        }
        (!found.is_empty()).then(|| Self(found.into()))
    }

    /// Reads the file with the countries beside the table at `path`.
    #[must_use]
    pub fn beside(path: &Path) -> Option<Self> {
        let files = locations_beside(path);
        let mut found = files
            .iter()
            .filter_map(|path| regular_file::read(path, Purpose::List).ok());
        let bytes = unpack(found.next()?).ok()?;
        Self::read(&list_text(bytes).ok()?)
    }

    /// Returns the country of a number.
    #[must_use]
    pub fn country(&self, number: u32) -> Option<Country> {
        self.0.get(&number).copied()
    }
}

/// Returns true if the header of `text` names countries by number only.
#[must_use]
pub fn needs_locations(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim);
    let header = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    let fields: Vec<&str> = header
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .collect();
    let columns = Columns::of(&fields);
    columns.is_some_and(|columns| columns.geoname.is_some() && columns.country.is_none())
}

/// Returns the paths of the file with the countries beside a table, most likely first:
/// `GeoLite2-Country-Locations-en.csv` beside `GeoLite2-Country-Blocks-IPv4.csv`.
#[must_use]
pub fn locations_beside(table: &Path) -> Vec<PathBuf> {
    let name = table.file_name().and_then(|name| name.to_str());
    let name = name.unwrap_or_default();
    let found = ["Blocks-IPv4", "Blocks-IPv6"]
        .into_iter()
        .find(|part| name.contains(part));
    let Some(part) = found else { return Vec::new() };
    let beside = name.replace(part, "Locations-en");
    let packed = |suffix: &&str| beside.ends_with(*suffix);
    let suffix = PACKED.iter().find(|suffix| packed(suffix)).unwrap_or(&"");
    let plain = beside.strip_suffix(*suffix).unwrap_or(&beside).to_owned();
    let others = PACKED.iter().map(|suffix| format!("{plain}{suffix}"));
    let mut names = vec![beside.clone(), plain.clone()];
    names.extend(others);
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
        .into_iter()
        .map(|name| table.with_file_name(name))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::{Format, Key, Selection, read, recognise};

    const BLOCKS: &str = "network,geoname_id,registered_country_geoname_id,represented_country_geoname_id,is_anonymous_proxy\n\
        1.0.0.0/24,2077456,2077456,,0\n1.0.1.0/24,1814991,1814991,,0\n1.0.2.0/23,,1814991,,0\n2001:db8::/32,1814991,,,0\n";
    const LOCATIONS: &str = "geoname_id,locale_code,continent_code,continent_name,country_iso_code,country_name\n\
        2077456,en,OC,Oceania,AU,Australia\n1814991,en,AS,Asia,CN,China\n6255148,en,EU,Europe,,\n";

    #[test]
    fn a_table_of_countries_by_number_is_read_with_its_second_file() {
        assert!(needs_locations(BLOCKS));
        assert!(!needs_locations(LOCATIONS));
        assert_eq!(recognise(BLOCKS), Ok(Format::RangeCsv));
        let selection = Selection {
            keys: [Key::Country("CN".parse().unwrap())].into(),
            locations: Locations::read(LOCATIONS),
            ..Selection::default()
        };
        let list = read(BLOCKS, Format::RangeCsv, &selection);
        assert_eq!((list.ipv4.len(), list.ipv6.len(), list.left_out), (1, 1, 2));
        assert_eq!(list.bad.count(), 0, "{:?}", list.bad);
        let without = Selection {
            locations: None,
            ..selection
        };
        assert_eq!(read(BLOCKS, Format::RangeCsv, &without).bad.count(), 3);
    }

    #[test]
    fn the_second_file_has_the_name_of_the_table() {
        let beside = locations_beside(Path::new("t/GeoLite2-Country-Blocks-IPv6.csv.gz"));
        let names = [
            "t/GeoLite2-Country-Locations-en.csv.gz",
            "t/GeoLite2-Country-Locations-en.csv",
        ];
        assert_eq!(beside[..2], names.map(PathBuf::from));
        assert!(beside.contains(&PathBuf::from("t/GeoLite2-Country-Locations-en.csv.xz")));
        assert!(locations_beside(Path::new("table.csv")).is_empty());
    }
}
