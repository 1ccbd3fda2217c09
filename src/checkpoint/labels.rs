//! Names of classes: as a configuration gives them, ImageNet's, or made up. Not here: how many classes a model has.

use std::io::Read as _;

use flate2::read::GzDecoder;
use serde_json::Value;

use super::CheckpointError;
use super::config::Section;

/// ImageNet-1k's names, one per line in the order of its classes; two of them are the same ("crane", bird and machine).
/// `imagenet-1k.py` made it.
const IMAGENET_1K: &str = include_str!("imagenet-1k.txt");
/// The names of ImageNet-22k's classes, and which of them those of its subsets are. `imagenet.py` made it, and says how it reads.
const IMAGENET: &[u8] = include_bytes!("imagenet.txt.gz");
/// Classes of ImageNet-22k.
const IMAGENET_22K: usize = 21_841;

/// The names of the set of ImageNet that has so many classes, in timm's own order; None if there is none.
pub(super) fn imagenet(classes: usize) -> Option<Vec<String>> {
    if classes == 1000 {
        return Some(IMAGENET_1K.lines().map(str::to_owned).collect());
    }
    if !(11_000..22_000).contains(&classes) {
        return None;
    }
    let mut text = String::new();
    GzDecoder::new(IMAGENET).read_to_string(&mut text).ok()?;
    let (names, subsets) = text.split_once("\n\n")?;
    let names: Vec<&str> = names.lines().collect();
    if classes == IMAGENET_22K {
        return Some(names.into_iter().take(classes).map(str::to_owned).collect());
    }
    let mut numbers = subsets.lines().map(|line| line.split(' ').map_while(|number| number.parse::<usize>().ok()));
    let subset = numbers.find_map(|mut numbers| (numbers.next() == Some(classes)).then_some(numbers))?;
    subset.map(|line| Some((*names.get(line)?).to_owned())).collect()
}

/// How a class is called that nobody named.
pub(super) type Unnamed = fn(usize) -> String;

/// `class_7`.
pub(super) fn class(class: usize) -> String {
    format!("class_{class}")
}

/// `LABEL_7`, as transformers has it.
pub(super) fn transformers(class: usize) -> String {
    format!("LABEL_{class}")
}

/// The names in a field of a configuration, which is a list in the order of the classes or an object from index to name;
/// `None` when there is no such field. A number is a name too, as Python writes it. A class without a name gets one.
///
/// # Errors
/// [`CheckpointError::Config`] for names of classes that the model does not have.
pub(super) fn named(
    section: Section<'_>,
    key: &str,
    classes: usize,
    unnamed: Unnamed,
) -> Result<Option<Vec<String>>, CheckpointError> {
    let Some(value) = section.get(key) else { return Ok(None) };
    let (count, beyond) = match value {
        Value::Array(names) => (names.len(), names.len() > classes),
        Value::Object(names) => {
            let within = |index: &String| index.parse::<usize>().is_ok_and(|index| index < classes);
            (names.len(), !names.keys().all(within))
        }
        _ => return Err(section.invalid(key, "a list of names or an object from index to name is needed")),
    };
    if beyond {
        return Err(
            section.invalid(key, &format!("these are {count} names for {classes} classes, 0 to {}", classes - 1))
        );
    }
    let name = |class: usize| match value.get(class).or_else(|| value.get(class.to_string())) {
        Some(Value::String(name)) => Ok(name.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        Some(Value::Bool(flag)) => Ok(if *flag { "True" } else { "False" }.to_owned()),
        None | Some(Value::Null) => Ok(unnamed(class)),
        Some(_) => Err(section.invalid(key, &format!("the name of class {class} is no string"))),
    };
    (0..classes).map(name).collect::<Result<_, _>>().map(Some)
}

/// The descriptions of these names, in a field that is an object from name to description; a name that has none stays.
///
/// # Errors
/// [`CheckpointError::Config`] when the field is no object of strings.
pub(super) fn described(
    section: Section<'_>,
    key: &'static str,
    names: Vec<String>,
) -> Result<Vec<String>, CheckpointError> {
    let Some(descriptions) = section.section(key)? else { return Ok(names) };
    let description = |name: String| Ok(descriptions.text(&name)?.map_or(name, str::to_owned));
    names.into_iter().map(description).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn read(names: Value, classes: usize) -> Result<Option<Vec<String>>, CheckpointError> {
        let config = json!({ "names": names });
        named(Section::new(Path::new("config.json"), &config)?, "names", classes, class)
    }

    #[test]
    fn names_may_be_numbers_and_some_may_be_missing() {
        let names = |names| read(names, 3).unwrap().unwrap();
        assert_eq!(names(json!(["a", 5, 2.5])), ["a", "5", "2.5"]);
        assert_eq!(names(json!({"0": "a", "2": true})), ["a", "class_1", "True"]);
        assert_eq!(names(json!(["a", null])), ["a", "class_1", "class_2"]);
        assert_eq!(read(json!(null), 3).unwrap(), None);
    }

    #[test]
    fn names_of_classes_that_are_not_there_are_refused() {
        for names in [json!(["a", "b", "c", "d"]), json!({"0": "a", "3": "d"}), json!({"first": "a"}), json!("a")] {
            let error = read(names.clone(), 3).unwrap_err().to_string();
            assert!(error.starts_with("config.json: names is"), "{names}: {error}");
        }
        assert!(read(json!(["a", ["b"]]), 2).unwrap_err().to_string().contains("the name of class 1 is no string"));
    }

    #[test]
    fn imagenets_names_are_timms_in_timms_order() {
        // timm.data.ImageNetInfo(subset).index_to_description(i)
        for (classes, expected) in [
            (
                1000,
                [
                    (0, "tench, Tinca tinca"),
                    (281, "tabby, tabby cat"),
                    (282, "tiger cat"),
                    (999, "toilet tissue, toilet paper, bathroom tissue"),
                ],
            ),
            (11221, [(0, "benthos"), (1, "cell"), (5610, "quad, quadrangle"), (11220, "knothole")]),
            (11821, [(0, "benthos"), (1, "cell"), (5910, "rain stick"), (11820, "knothole")]),
            (
                21841,
                [
                    (0, "organism, being"),
                    (1, "benthos"),
                    (10920, "submarine, pigboat, sub, U-boat"),
                    (21840, "knothole"),
                ],
            ),
            (
                21842,
                [
                    (0, "tench, Tinca tinca"),
                    (1, "goldfish, Carassius auratus"),
                    (10921, "standard transmission, stick shift"),
                    (21841, "knothole"),
                ],
            ),
            (
                21843,
                [
                    (0, "organism, being"),
                    (1, "benthos"),
                    (10921, "submarine, pigboat, sub, U-boat"),
                    (21842, "knothole"),
                ],
            ),
        ] {
            let names = imagenet(classes).unwrap();
            assert_eq!(names.len(), classes);
            for (class, name) in expected {
                assert_eq!(names[class], name, "class {class} of {classes}");
            }
        }
        assert_eq!(imagenet(999), None);
        assert_eq!(imagenet(12_000), None);
    }
}
