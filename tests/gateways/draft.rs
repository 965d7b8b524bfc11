//! A request of HTTP/1 as it goes over the wire, with nothing in it that was not written.

/// The lines of a request; an attack changes them.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) method: String,
    /// The second word of the first line.
    pub(crate) target: String,
    pub(crate) version: &'static str,
    /// Without line ends.
    pub(crate) lines: Vec<String>,
    /// Behind the blank line.
    pub(crate) body: Vec<u8>,
}

impl Draft {
    pub(crate) fn get(host: &str, target: &str) -> Self {
        Self {
            method: "GET".to_owned(),
            target: target.to_owned(),
            version: "HTTP/1.1",
            lines: vec![format!("Host: {host}")],
            body: Vec::new(),
        }
    }

    /// One more line.
    pub(crate) fn line(&mut self, line: &str) -> &mut Self {
        self.lines.push(line.to_owned());
        self
    }

    /// A `POST` with this body.
    pub(crate) fn post(&mut self, body: &str) -> &mut Self {
        "POST".clone_into(&mut self.method);
        self.line(&format!("Content-Length: {}", body.len()));
        self.body = body.into();
        self
    }

    /// A `POST` whose body is written in chunks; `body` is all that comes behind the head.
    pub(crate) fn chunked(&mut self, body: &str) -> &mut Self {
        "POST".clone_into(&mut self.method);
        self.line("Transfer-Encoding: chunked");
        self.body = body.into();
        self
    }

    /// To another host.
    pub(crate) fn to(&mut self, host: &str) -> &mut Self {
        for line in &mut self.lines {
            if line.to_ascii_lowercase().starts_with("host:") {
                *line = format!("Host: {host}");
            }
        }
        self
    }

    /// The value of its `Host`.
    pub(crate) fn host(&self) -> &str {
        let host = self.lines.iter().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("host").then_some(value.trim())
        });
        host.unwrap_or_default()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let first = format!("{} {} {}", self.method, self.target, self.version);
        let head: Vec<&str> = std::iter::once(first.as_str())
            .chain(self.lines.iter().map(String::as_str))
            .collect();
        let mut bytes = head.join("\r\n").into_bytes();
        bytes.extend(b"\r\n\r\n");
        bytes.extend(&self.body);
        bytes
    }
}
