//! Parameters of requests, inputs and outputs, of which few mean anything here: `timeout`, `priority`, `classification`.
//! Those that are not known are ignored, as the protocol wants. Not here: those that say how JSON and bytes share a body (`http`).

use std::collections::BTreeMap;
use std::time::Duration;

use super::Error;
use super::error::invalid;

/// A parameter's value.
#[derive(Clone, Debug, PartialEq)]
pub enum Parameter {
    /// Yes or no.
    Bool(bool),
    /// A whole number, as signed and unsigned types have it.
    Integer(i128),
    /// Any number.
    Double(f64),
    /// Text.
    Text(String),
}

/// Parameters by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters(pub BTreeMap<String, Parameter>);

impl Parameters {
    /// A whole number of at least 0; None where it is not given.
    ///
    /// # Errors
    /// [`Error::Invalid`] for anything else.
    pub fn whole(&self, name: &str) -> Result<Option<u64>, Error> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Parameter::Integer(number)) if u64::try_from(*number).is_ok() => Ok(u64::try_from(*number).ok()),
            Some(other) => invalid(format!("parameter {name} is {other}; it must be a whole number of at least 0")),
        }
    }

    /// Yes or no; None where it is not given.
    ///
    /// # Errors
    /// [`Error::Invalid`] for anything else.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Error> {
        match self.0.get(name) {
            None => Ok(None),
            Some(Parameter::Bool(flag)) => Ok(Some(*flag)),
            Some(other) => invalid(format!("parameter {name} is {other}; it must be true or false")),
        }
    }

    /// From admission to the answer, as the request wants it: `timeout` in microseconds, where 0 is the server's own.
    pub(super) fn timeout(&self) -> Result<Option<Duration>, Error> {
        Ok(self.whole("timeout")?.filter(|timeout| *timeout > 0).map(Duration::from_micros))
    }
}

impl std::fmt::Display for Parameter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Double(number) => write!(f, "{number}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timeout(value: Parameter) -> Result<Option<Duration>, Error> {
        Parameters(BTreeMap::from([("timeout".to_owned(), value)])).timeout()
    }

    #[test]
    fn a_timeout_is_in_microseconds_and_0_is_none() {
        assert_eq!(timeout(Parameter::Integer(2_500)), Ok(Some(Duration::from_micros(2_500))));
        assert_eq!(timeout(Parameter::Integer(0)), Ok(None));
        assert_eq!(Parameters::default().timeout(), Ok(None));
        for wrong in
            [Parameter::Integer(-1), Parameter::Double(1.5), Parameter::Text("5".into()), Parameter::Bool(true)]
        {
            assert!(timeout(wrong).unwrap_err().to_string().starts_with("parameter timeout is "));
        }
    }
}
