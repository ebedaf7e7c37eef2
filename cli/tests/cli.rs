//! The command-line program: arguments, formats, exit status and error messages.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The program, run in the repository root, without the environment variables of the caller.
fn ocelli(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ocelli"));
    command.args(args).current_dir("..");
    for variable in ["OCELLI_FORMAT", "OCELLI_JSON_INTEGERS", "OCELLI_THREADS", "OCELLI_MEMORY_LIMIT"] {
        command.env_remove(variable);
    }
    // Only the backend that every machine has.
    command.env("OCELLI_ORT_LIB", "").env("OCELLI_GPU_ADAPTER", "").stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    ocelli(args).output().expect("ocelli starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// The rows of a query that must succeed.
fn rows(args: &[&str]) -> String {
    let output = run(args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    stdout(&output)
}

/// The standard error of a command line that must fail with an exit status.
fn error(args: &[&str], status: i32) -> String {
    let output = run(args);
    assert_eq!(output.status.code(), Some(status), "{}", stderr(&output));
    stderr(&output)
}

/// Writes a file in cargo's folder for temporary test files.
fn file(name: &str, text: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("the file is written");
    path
}

#[test]
fn the_readme_command_prints_a_table() {
    let table = rows(&["SELECT uri, classify(image) AS label FROM 'examples/data/photos.parquet'"]);
    let readme = include_str!("../../README.md");
    assert!(readme.contains(&table), "README.md does not contain this table:\n{table}");
}

#[test]
fn the_row_count_goes_to_standard_error() {
    let output = run(&["SELECT 1 AS one UNION ALL SELECT 1"]);
    assert_eq!(stdout(&output), "┌─────┐\n│ one │\n├─────┤\n│   1 │\n│   1 │\n└─────┘\n");
    assert!(stderr(&output).starts_with("2 rows in "), "{}", stderr(&output));
    assert_eq!(stderr(&run(&["-q", "SELECT 1"])), "");
}

#[test]
fn formats() {
    const QUERY: &str = "SELECT * FROM (VALUES (1, 'a', X'ff'), (2, NULL, NULL)) AS t(n, s, b)";
    let cases = [
        ("csv", "n,s,b\n1,a,ff\n2,,\n"),
        ("json", "[{\"n\":1,\"s\":\"a\",\"b\":\"ff\"},{\"n\":2,\"s\":null,\"b\":null}]\n"),
        ("ndjson", "{\"n\":1,\"s\":\"a\",\"b\":\"ff\"}\n{\"n\":2,\"s\":null,\"b\":null}\n"),
    ];
    for (format, expected) in cases {
        assert_eq!(rows(&["-q", "--format", format, QUERY]), expected, "{format}");
    }
    for (value, expected) in [
        ("make_array(1, 2)", "\"[1, 2]\""),
        ("make_array(1, NULL, 3)", "\"[1, NULL, 3]\""),
        ("make_array(CAST(NULL AS INT))", "[NULL]"),
        ("arrow_cast(make_array(), 'List(Int64)')", "[]"),
        ("named_struct('a', 1, 'b', NULL)", "\"{a: 1, b: NULL}\""),
        ("map(['k'], [CAST(NULL AS INT)])", "{k: NULL}"),
    ] {
        let sql = format!("SELECT {value} AS x");
        assert_eq!(rows(&["-q", "--format", "csv", &sql]), format!("x\n{expected}\n"), "{value}");
    }
}

#[test]
fn explain_shows_the_operator() {
    let plan = rows(&["-q", "EXPLAIN SELECT classify(image) FROM 'examples/data/photos.parquet'"]);
    let lines: Vec<&str> = plan.lines().collect();
    assert_eq!((lines[0], lines[4]), ("logical_plan", "physical_plan"));
    assert!(
        lines[6]
            .starts_with("    InferExec: model=resnet20-cifar10, backend=rten (ONNX Runtime is not used), image=image"),
        "{plan}"
    );
    let plan = rows(&["-q", "EXPLAIN VERBOSE SELECT classify(image) FROM 'examples/data/photos.parquet'"]);
    assert!(plan.contains("backend=rten (OCELLI_ORT_LIB is empty: ONNX Runtime is not used; not on a GPU: OCELLI_GPU_ADAPTER is empty)"), "{plan}");
}

#[test]
fn doctor_reports_the_backends() {
    let report = rows(&["doctor"]);
    for line in [
        "backend ort             OCELLI_ORT_LIB is empty: ONNX Runtime is not used\n",
        "check of rten           classified 64 images in ",
    ] {
        assert!(report.contains(line), "{report}");
    }
}

#[test]
fn an_invalid_library_is_named() {
    let mut command =
        ocelli(&["-q", "SET ocelli.backend = 'ort'; SELECT classify(image) FROM 'examples/data/photos.parquet'"]);
    let output = command.env("OCELLI_ORT_LIB", "README.md").output().expect("the program runs");
    let message = stderr(&output);
    assert!(
        message.contains("model 'resnet20-cifar10' cannot be used: README.md (OCELLI_ORT_LIB) cannot be used as"),
        "{message}"
    );
}

#[test]
fn formats_of_empty_results() {
    const QUERY: &str = "SELECT 1 AS n WHERE false";
    for (format, expected) in [("csv", "n\n"), ("json", "[]\n"), ("ndjson", "")] {
        assert_eq!(rows(&["-q", "--format", format, QUERY]), expected, "{format}");
    }
}

#[test]
fn sql_is_read_from_argument_option_file_and_stdin() {
    const EXPECTED: &str = "a\n7\n";
    let path = file("seven.sql", "-- a comment\nSELECT 7 AS a;\n");
    let path = path.to_str().expect("a path of text");
    let sources: [&[&str]; 3] = [&["SELECT 7 AS a"], &["-c", "SELECT 7 AS a"], &["-f", path]];
    for source in sources {
        assert_eq!(rows(&[&["-q", "--format", "csv"], source].concat()), EXPECTED, "{source:?}");
    }
    for source in [&[][..], &["-f", "-"]] {
        let mut child = ocelli(&[&["-q", "--format", "csv"], source].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ocelli starts");
        child.stdin.take().expect("its input").write_all(b"SELECT 7 AS a").expect("it reads");
        assert_eq!(stdout(&child.wait_with_output().expect("it ends")), EXPECTED);
    }
}

#[test]
fn statements_share_a_session_and_stop_at_the_first_failure() {
    let script =
        "SET ocelli.on_error = 'null'; CREATE TABLE t AS SELECT 5 AS n; SELECT n FROM t; SELECT nope; SELECT 2";
    let output = run(&["-q", "--format", "csv", script]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "n\n5\n");
    assert_eq!(stderr(&output), "error: statement 4: column 'nope' does not exist: the query has no table\n");
}

#[test]
fn a_syntax_error_stops_at_its_statement_with_its_place_in_the_script() {
    let output = run(&["-q", "--format", "csv", "SELECT 1 AS a; SELEC 2; SELECT 3"]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), "a\n1\n".to_owned()));
    assert_eq!(
        stderr(&output),
        "error: statement 2: SQL syntax: expected an SQL statement, found SELEC at line 1, column 16\n"
    );
    for (script, expected) in [
        ("SELEC 1", "error: SQL syntax: expected an SQL statement, found SELEC at line 1, column 1\n"),
        (
            "SELEC 1; SELECT 2",
            "error: statement 1: SQL syntax: expected an SQL statement, found SELEC at line 1, column 1\n",
        ),
        (
            "SELECT 1;\n\nSELECT\n x y z",
            "error: statement 2: SQL syntax: expected end of statement, found z at line 4, column 6\n",
        ),
        ("SELECT 1;\nSELECT 'abc", "error: statement 2: SQL syntax: Unterminated string literal at line 2, column 8\n"),
    ] {
        assert_eq!(error(&["-q", script], 1), expected);
    }
}

#[test]
fn a_statement_is_read_in_the_dialect_that_is_set_before_it() {
    let script = "SET datafusion.sql_parser.dialect = 'MySQL'; SELECT \"it\\\"s; -- text\" AS `a b`;\n SELECT 'x' x y";
    let output = run(&["-q", "--format", "csv", script]);
    assert_eq!(stdout(&output), "a b\n\"it\"\"s; -- text\"\n");
    assert_eq!(
        stderr(&output),
        "error: statement 3: SQL syntax: expected end of statement, found y at line 2, column 15\n"
    );
}

#[test]
fn comments_are_white_space() {
    for args in [
        &["-- note\nSELECT 7 AS a"][..],
        &["-c", "-- note\nSELECT 7 AS a -- end"],
        &["/* a; */ SELECT 7 AS a /* b; */; -- c"],
        &["--\n-- it's a note\nSELECT /* x /* y; */ z */ 7 AS a"],
    ] {
        assert_eq!(rows(&[&["-q", "--format", "csv"], args].concat()), "a\n7\n", "{args:?}");
    }
    for args in [&["-- foo"][..], &["-c", "-- foo\n/* bar */"], &["-c", "--"], &[";; -- foo"], &[""]] {
        assert_eq!(rows(args), "", "{args:?}");
    }
    let message = error(&["SELECT 1", "--frmat", "csv"], 2);
    assert!(message.contains("unexpected argument '--frmat'") && message.contains("'--format'"), "{message}");
}

#[test]
fn the_interpreter_line_of_a_file_is_skipped() {
    let path = file("shebang.sql", "#!/usr/bin/env -S ocelli -f\nSELECT 7 AS a;\nSELEC 8");
    let output = run(&["-q", "--format", "csv", "-f", path.to_str().expect("a path of text")]);
    assert_eq!(stdout(&output), "a\n7\n");
    assert!(stderr(&output).ends_with("found SELEC at line 3, column 1\n"), "{}", stderr(&output));
}

#[test]
fn headers_do_not_have_the_paths_of_files() {
    const QUERY: &str = "SELECT min(height), max(p.height), classify(image) FROM 'examples/data/photos.parquet' \
                         JOIN (SELECT 266 AS height) AS p USING (height) GROUP BY classify(image)";
    for (format, header) in [
        ("csv", "min(height),max(p.height),classify(image)\n"),
        ("json", "[{\"min(height)\":266,\"max(p.height)\":266,\"classify(image)\":\"cat\"}"),
        ("ndjson", "{\"min(height)\":266,"),
        ("table", "┌─────────────┬───────────────┬─────────────────┐\n│ min(height) │"),
    ] {
        let output = rows(&["-q", "--format", format, QUERY]);
        assert!(output.starts_with(header), "{output}");
    }
    let clash = "SELECT count(a.uri), count('examples/data/photos.parquet'.uri) FROM 'examples/data/mixed.parquet' AS a, \
                 'examples/data/photos.parquet'";
    let header = "count(a.uri),count(uri)\n";
    assert!(rows(&["-q", "--format", "csv", &clash.replace('\'', "\"")]).starts_with(header));
    let clash = clash.replace(" AS a", "").replace("a.uri", "'examples/data/mixed.parquet'.uri").replace('\'', "\"");
    let header = "count(examples/data/mixed.parquet.uri),count(examples/data/photos.parquet.uri)\n";
    assert!(rows(&["-q", "--format", "csv", &clash]).starts_with(header));
}

#[test]
fn integers_in_json_can_be_exact_text() {
    const QUERY: &str = "SELECT n, [n] AS l, CAST(n AS DECIMAL(20, 1)) AS d FROM (VALUES (9007199254740992), (9007199254740993)) AS t(n)";
    let exact = "{\"n\":9007199254740992,\"l\":[9007199254740992],\"d\":\"9007199254740992.0\"}\n\
                 {\"n\":\"9007199254740993\",\"l\":[\"9007199254740993\"],\"d\":\"9007199254740993.0\"}\n";
    assert_eq!(rows(&["-q", "--format", "ndjson", "--json-integers", "text", QUERY]), exact);
    let numbers = exact.replace("\"9007", "9007").replace("992.0\"", "992.0").replace("993\"", "993");
    let numbers = numbers.replace("993.0\"", "993.0");
    assert_eq!(rows(&["-q", "--format", "ndjson", QUERY]), numbers);
}

#[test]
fn embeddings_are_abbreviated_in_tables_only() {
    const QUERY: &str = "SELECT embed(image) AS e FROM 'examples/data/photos.parquet' LIMIT 1";
    assert!(rows(&["-q", QUERY]).contains(", … 128 values] │"));
    let csv = rows(&["-q", "--format", "csv", QUERY]);
    assert_eq!(csv.matches(',').count(), 127, "{csv}");
}

#[test]
fn invalid_input_is_reported_in_one_line() {
    let cases = [
        ("SELECT * FROM 'nope.parquet'", "error: file 'nope.parquet' does not exist; relative paths start at /"),
        (
            "SELECT imag FROM 'examples/data/photos.parquet'",
            "error: column 'imag' does not exist; the columns are uri, image, title, author, licence, width, height\n",
        ),
        (
            "SELECT classify(width) FROM 'examples/data/photos.parquet'",
            "error: classify takes an encoded image (Binary, LargeBinary or BinaryView) or its URI (string), got Int32\n",
        ),
        (
            "SELECT uri, classify(image) FROM 'examples/data/mixed.parquet'",
            "error: cannot decode image 'photos/truncated.jpg': the JPEG file is truncated; use try_classify or \
             SET ocelli.on_error = 'null' to return NULL\n",
        ),
        (
            "SELECT classify(image) FROM 'examples/data/mixed.parquet' WHERE uri LIKE '%.txt'",
            "error: cannot decode image 'photos/notes.txt': it is not a JPEG, PNG, WebP, GIF, BMP or TIFF file (it starts with \
             \"Notes about \"); use try_classify or SET ocelli.on_error = 'null' to return NULL\n",
        ),
    ];
    for (query, expected) in cases {
        let message = error(&[query], 1);
        assert!(message.starts_with(expected), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        // Traces of `Debug` output.
        assert!(!message.contains("Some(") && !message.contains(" { ") && !message.contains("panicked"), "{message}");
    }
}

#[test]
fn invalid_usage_exits_with_2() {
    for args in [
        &["--format", "xml", "SELECT 1"][..],
        &["--threads", "0", "SELECT 1"],
        &["--threads", "2000", "SELECT 1"],
        &["--memory-limit", "much", "SELECT 1"],
        &["--no-such-option"],
        &["SELECT 1", "-c", "SELECT 2"],
        &["-f", "nope.sql"],
    ] {
        assert!(error(args, 2).starts_with("error: "), "{args:?}");
    }
    assert!(error(&["-f", "nope.sql"], 2).starts_with("error: cannot read 'nope.sql': "));
}

#[test]
fn help_and_version() {
    let help = rows(&["--help"]);
    for option in [
        "--command",
        "--file",
        "--format",
        "--json-integers",
        "--quiet",
        "--threads",
        "--memory-limit",
        "OCELLI_MEMORY_LIMIT",
    ] {
        assert!(help.contains(option), "--help does not list {option}");
    }
    assert_eq!(rows(&["--version"]), format!("ocelli {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn limits_are_applied_to_the_session() {
    assert_eq!(
        rows(&["-q", "--format", "csv", "--threads", "3", "SHOW datafusion.execution.target_partitions"]),
        "name,value\ndatafusion.execution.target_partitions,3\n"
    );
    let output = ocelli(&["-q", "--format", "csv", "SHOW datafusion.execution.target_partitions"])
        .env("OCELLI_THREADS", "5")
        .output()
        .expect("ocelli starts");
    assert!(stdout(&output).ends_with(",5\n"));
    let sort = "SELECT count(*) FROM (SELECT value FROM range(10000000) GROUP BY value)";
    let message = error(&["--memory-limit", "1MB", "SET datafusion.runtime.max_temp_directory_size = '1K'", "-q"], 0);
    assert_eq!(message, "");
    let message =
        error(&["--memory-limit", "1MB", &format!("SET datafusion.runtime.max_temp_directory_size = '1K'; {sort}")], 1);
    assert!(message.contains("not enough memory") || message.contains("disk space"), "{message}");
}

/// `ocelli … | head -1`: a reader that closes the pipe early is not a failure.
#[test]
fn a_closed_pipe_is_not_a_failure() {
    for format in ["table", "csv", "json", "ndjson"] {
        let mut child = ocelli(&["-q", "--format", format, "SELECT value FROM range(1000000)"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ocelli starts");
        let mut byte = [0];
        child.stdout.take().expect("its output").read_exact(&mut byte).expect("it writes");
        let output = child.wait_with_output().expect("it ends");
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()), "{format}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_error_is_not_a_failure() {
    for (query, status) in [("SELECT 1", 0), ("SELEC 1", 1)] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("a full device");
        let output = ocelli(&[query]).stderr(full).output().expect("ocelli starts");
        assert_eq!(output.status.code(), Some(status), "{query}");
    }
}

#[test]
fn a_failing_query_prints_nothing_before_its_first_row() {
    for format in ["table", "csv", "json", "ndjson"] {
        let output = run(&["--format", format, "SELECT classify(image) FROM 'examples/data/mixed.parquet'"]);
        assert_eq!((output.status.code(), stdout(&output)), (Some(1), String::new()), "{format}");
    }
}

#[test]
fn json_rejects_duplicate_keys() {
    let message = error(&["--format", "json", "SELECT a.n, b.n FROM (SELECT 1 AS n) a, (SELECT 2 AS n) b"], 1);
    assert_eq!(message, "error: cannot write the rows: two columns are named 'n'; rename one with AS\n");
}

#[test]
fn control_characters_do_not_reach_the_terminal() {
    let message = error(&["SELECT classify(image) FROM (SELECT chr(27) || '[31m' AS uri, X'00' AS image)"], 1);
    assert!(message.starts_with("error: cannot decode image '\\u{1b}[31m': "), "{message}");
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let path = file("mark.sql", "\u{feff}SELECT 7 AS a");
    assert_eq!(rows(&["-q", "--format", "csv", "-f", path.to_str().expect("a path of text")]), "a\n7\n");
}

#[cfg(unix)]
#[test]
fn signals_stop_a_query_and_remove_its_files() {
    let folder = tempfile::tempdir().expect("a folder");
    for (signal, status, name) in [("INT", 130, "SIGINT"), ("TERM", 143, "SIGTERM"), ("HUP", 129, "SIGHUP")] {
        let target = folder.path().join("out.csv");
        let sql = format!("COPY (SELECT value FROM generate_series(1, 1000000000000)) TO '{}'", target.display());
        let mut child = ocelli(&[&sql]).stderr(Stdio::piped()).spawn().expect("ocelli starts");
        while !folder.path().join("out.csv#1").exists() {
            assert!(child.try_wait().expect("the status").is_none(), "the query ends");
            std::thread::yield_now();
        }
        let kill = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
        assert!(kill.expect("kill starts").success());
        let output = child.wait_with_output().expect("the output");
        assert_eq!(output.status.code(), Some(status), "{}", stderr(&output));
        assert_eq!(stderr(&output), format!("error: stopped by {name}; incomplete files are removed\n"));
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0, "{signal}");
    }
}
