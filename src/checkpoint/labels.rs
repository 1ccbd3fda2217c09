//! Names of classes: as a configuration gives them, ImageNet-1k's, or made up. Not here: how many classes a model has.

use serde_json::Value;

use super::CheckpointError;
use super::config::Section;

/// ImageNet-1k's names, one per line in the order of its classes; two of them are the same ("crane", bird and machine).
/// `imagenet-1k.py` made it.
const IMAGENET_1K: &str = include_str!("imagenet-1k.txt");

/// The names of ImageNet-1k's thousand classes.
pub(super) fn imagenet_1k() -> Vec<String> {
    IMAGENET_1K.lines().map(str::to_owned).collect()
}

/// Names for classes that nobody named: `class_0`, `class_1` and so on.
pub(super) fn numbered(classes: usize) -> Vec<String> {
    (0..classes).map(|class| format!("class_{class}")).collect()
}

/// The names in a field of a configuration, which is a list in the order of the classes or an object from index to name;
/// `None` when there is no such field.
///
/// # Errors
/// [`CheckpointError::Config`] unless each class has just one name.
pub(super) fn named(section: Section<'_>, key: &str, classes: usize) -> Result<Option<Vec<String>>, CheckpointError> {
    let Some(value) = section.get(key) else { return Ok(None) };
    let names = match value {
        Value::Array(names) => names.len(),
        Value::Object(names) => names.len(),
        _ => return Err(section.invalid(key, "a list of names or an object from index to name is needed")),
    };
    if names != classes {
        return Err(section.invalid(key, &format!("these are {names} names for {classes} classes")));
    }
    let name = |class: usize| match value.get(class).or_else(|| value.get(class.to_string())) {
        Some(Value::String(name)) => Ok(name.clone()),
        Some(_) => Err(section.invalid(key, &format!("the name of class {class} is not a string"))),
        None => Err(section.invalid(key, &format!("class {class} of {classes} has no name"))),
    };
    (0..classes).map(name).collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imagenets_names_are_timms_in_timms_order() {
        let names = imagenet_1k();
        assert_eq!(names.len(), 1000);
        // timm.data.ImageNetInfo().index_to_description(i)
        assert_eq!(names[0], "tench, Tinca tinca");
        assert_eq!(names[281], "tabby, tabby cat");
        assert_eq!(names[282], "tiger cat");
        assert_eq!(names[999], "toilet tissue, toilet paper, bathroom tissue");
    }
}
