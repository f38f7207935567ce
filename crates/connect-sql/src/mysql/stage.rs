//! Where rows wait: a temporary table, and the statements that bring them over.

use arrow::datatypes::Schema;
use weir_core::{Result, Write, WriteMode};
use weir_kit::Dialect;

use super::catalog;
use super::cells::Form;
use super::encode::{Kind, Types, kind_of};
use super::lease::Lease;
use crate::shared::target::{self, Known};

/// One column of the rows on its way.
pub type Outgoing = target::Outgoing<Kind>;

type Plan = target::Plan<Kind>;

/// Bytes of a batch that are encoded at once.
const PIECE: usize = 1 << 20;

/// What the server is told to ask us for.
pub const NAME: &str = "weir";

/// The table that is written to.
pub struct Target {
    /// What goes where.
    pub plan: Plan,
    /// It has unique indexes beside that over the keys: another row could be
    /// taken for one with the same keys.
    has_other_indexes: bool,
}

impl Target {
    /// Looks at the table, and holds the rows against it before any is taken.
    pub async fn find(
        lease: &mut Lease,
        (schema, name): (&str, &str),
        write: &Write,
        rows: &Schema,
    ) -> Result<Self> {
        let path = Dialect::Backtick.path(&[schema, name]);
        let listed = catalog::columns(lease, schema, name).await?;
        if listed.is_empty() {
            let plan = target::new_table(&Types, Dialect::Backtick, path, write, rows)?;
            return Ok(Target {
                plan,
                has_other_indexes: false,
            });
        }
        let known: Vec<Known<Kind>> = listed
            .into_iter()
            .map(|column| Known {
                kind: kind_of(&column.native),
                name: column.name,
                native: column.native,
                required: !column.nullable,
                generated: column.generated,
            })
            .collect();
        let plan = target::into_table(&Types, Dialect::Backtick, path, write, rows, &known)?;
        catalog::check_engine(lease, (schema, name), &write.stream).await?;
        let indexes = catalog::unique_indexes(lease, schema, name).await?;
        let is_of_keys = |columns: &Vec<String>| {
            columns.len() == write.keys.len()
                && columns.iter().all(|column| write.keys.contains(column))
        };
        let of_keys = indexes
            .iter()
            .filter(|(_, columns)| is_of_keys(columns))
            .count();
        if write.mode.needs_keys() && of_keys == 0 {
            return Err(target::no_unique_key(&write.keys));
        }
        if write.mode == WriteMode::Replace && catalog::is_followed(lease, schema, name).await? {
            return Err(target::followed(&write.stream));
        }
        Ok(Target {
            plan,
            has_other_indexes: indexes.len() > of_keys,
        })
    }
}

/// What the server takes.
pub struct Server {
    /// How rows are sent.
    pub form: Form,
    /// Bytes of rows that go into one statement.
    pub piece: usize,
    /// Text is told apart by its code points, the last blank included.
    collation: &'static str,
}

impl Server {
    /// Asks it.
    pub async fn ask(lease: &mut Lease) -> Result<Self> {
        let sql = "SELECT @@local_infile, @@max_allowed_packet, VERSION()";
        let rows = lease.rows(sql, &[]).await?;
        let row = rows.first().map(Vec::as_slice).unwrap_or_default();
        let text = |place: usize| {
            row.get(place)
                .and_then(Option::as_deref)
                .unwrap_or_default()
        };
        let packet: usize = text(1).parse().unwrap_or(PIECE);
        Ok(Server {
            form: if text(0) == "1" {
                Form::Lines
            } else {
                Form::Values
            },
            // What is encoded may be several times as long.
            piece: (packet / 8).clamp(256, PIECE),
            collation: match (lease.is_mariadb(), text(2).starts_with("5.")) {
                (true, _) => "utf8mb4_nopad_bin",
                (false, true) => "utf8mb4_bin",
                (false, false) => "utf8mb4_0900_bin",
            },
        })
    }
}

/// The temporary table that rows wait in.
pub struct Stage {
    /// The statement that makes it.
    pub create: String,
    /// Its path, quoted.
    pub path: String,
    /// Name of the column with the number of each row, quoted.
    pub number: String,
    /// Name for the place of a row among those with the same keys, quoted.
    place: String,
    columns: Vec<Outgoing>,
    collation: &'static str,
}

/// A name in quotes.
pub fn quote(name: &str) -> String {
    Dialect::Backtick.quote(name)
}

impl Stage {
    /// For rows that go into `target`.
    pub fn of(target: &Target, schema: &str, server: &Server) -> Self {
        let plan = &target.plan;
        // No table of anybody's has this name.
        let name = format!("weir_{}", uuid::Uuid::new_v4().simple());
        let free = |name: &str| {
            let mut name = name.to_owned();
            while plan
                .columns
                .iter()
                .any(|column| column.name.eq_ignore_ascii_case(&name))
            {
                name.push('_');
            }
            quote(&name)
        };
        let (number, place) = (free("weir_row"), free("weir_place"));
        let path = Dialect::Backtick.path(&[schema, &name]);
        let (is_new, collation) = (plan.create.is_some(), server.collation);
        let mut defined = vec![format!("{number} bigint unsigned NOT NULL DEFAULT 0")];
        let own = plan.columns.iter().filter(|column| is_new || column.is_new);
        defined.extend(own.map(|column| format!("{} {}", quote(&column.name), column.native)));
        let defined = defined.join(", ");
        // Columns that are there keep their type, charset and collation.
        let there = plan
            .columns
            .iter()
            .filter(|column| !is_new && !column.is_new);
        let there: Vec<String> = there
            .map(|column| format!("t.{}", quote(&column.name)))
            .collect();
        let from = match there.is_empty() {
            true => String::new(),
            false => format!(
                " SELECT {} FROM {} AS t LIMIT 0",
                there.join(", "),
                plan.path
            ),
        };
        Stage {
            create: format!(
                "CREATE TEMPORARY TABLE {path} ({defined}) ENGINE = InnoDB \
                 DEFAULT CHARACTER SET utf8mb4 COLLATE {collation}{from}"
            ),
            path,
            number,
            place,
            columns: plan.columns.clone(),
            collation,
        }
    }

    /// The statement that loads rows into it.
    pub fn load(&self) -> String {
        let (mut fields, mut set) = (vec![self.number.clone()], Vec::new());
        for (place, column) in self.columns.iter().enumerate() {
            let name = quote(&column.name);
            let variable = format!("@weir_{place}");
            match (&column.wire, column.native.starts_with("bit")) {
                (Kind::Bytes(_), _) => set.push(format!("{name} = UNHEX({variable})")),
                // From text it would take the letters.
                (_, true) => set.push(format!("{name} = CAST({variable} AS UNSIGNED)")),
                _ => {
                    fields.push(name);
                    continue;
                }
            }
            fields.push(variable);
        }
        let set = match set.is_empty() {
            true => String::new(),
            false => format!(" SET {}", set.join(", ")),
        };
        format!(
            "LOAD DATA LOCAL INFILE '{NAME}' INTO TABLE {} CHARACTER SET utf8mb4 \
             FIELDS TERMINATED BY '\\t' ENCLOSED BY '' ESCAPED BY '\\\\' LINES TERMINATED BY '\\n' ({}){set}",
            self.path,
            fields.join(", ")
        )
    }

    /// The columns of the rows, quoted and joined.
    pub fn names(&self) -> String {
        let names: Vec<String> = self
            .columns
            .iter()
            .map(|column| quote(&column.name))
            .collect();
        names.join(", ")
    }

    /// The rows, of those with the same keys only the last or the first.
    pub fn select(&self, write: &Write) -> String {
        let (names, number, place, path) = (self.names(), &self.number, &self.place, &self.path);
        let direction = match write.mode {
            WriteMode::Upsert => "DESC",
            WriteMode::Ignore => "ASC",
            WriteMode::Append | WriteMode::Replace | WriteMode::Fail => {
                return format!("SELECT {names} FROM {path} ORDER BY {number}");
            }
        };
        let keys: Vec<String> = write.keys.iter().map(|key| quote(key)).collect();
        format!(
            "SELECT {names} FROM (SELECT s.*, ROW_NUMBER() OVER (PARTITION BY {} ORDER BY {number} {direction}) AS {place} \
             FROM {path} AS s) AS d WHERE {place} = 1",
            keys.join(", ")
        )
    }

    /// The table, made of the rows.
    pub fn make(&self, create: &str, write: &Write) -> String {
        format!(
            "{create} ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE {} {}",
            self.collation,
            self.select(write)
        )
    }

    /// The statements that bring rows into a table with keys; the first counts.
    pub fn merge(&self, target: &Target, write: &Write) -> Vec<String> {
        let (path, names, select) = (&target.plan.path, self.names(), self.select(write));
        let others: Vec<String> = target
            .plan
            .others(&write.keys)
            .map(|column| quote(&column.name))
            .collect();
        let insert = format!("INSERT INTO {path} ({names})");
        let set = |theirs: fn(&str) -> String| {
            let set: Vec<String> = others
                .iter()
                .map(|name| format!("{path}.{name} = {}", theirs(name)))
                .collect();
            set.join(", ")
        };
        let changes = write.mode == WriteMode::Upsert && !others.is_empty();
        if !target.has_other_indexes {
            let update = match (changes, write.keys.first()) {
                (true, _) => set(|name| format!("VALUES({name})")),
                (false, Some(key)) => format!("{path}.{0} = {path}.{0}", quote(key)),
                (false, None) => String::new(),
            };
            return vec![format!(
                "{insert} {select} ON DUPLICATE KEY UPDATE {update}"
            )];
        }
        // A row of the same keys only: one that is equal by another index is an error.
        let same: Vec<String> = write
            .keys
            .iter()
            .map(|key| format!("x.{0} = d.{0}", quote(key)))
            .collect();
        let same = same.join(" AND ");
        let fresh = format!(
            "{insert} SELECT {names} FROM ({select}) AS d WHERE NOT EXISTS (SELECT 1 FROM {path} AS x WHERE {same})"
        );
        if !changes {
            return vec![fresh];
        }
        let set: Vec<String> = others
            .iter()
            .map(|name| format!("x.{name} = d.{name}"))
            .collect();
        vec![
            format!(
                "UPDATE {path} AS x JOIN ({select}) AS d ON {same} SET {}",
                set.join(", ")
            ),
            fresh,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::DataType;
    use weir_core::StreamId;

    fn target(has_other_indexes: bool) -> Target {
        let column = |name: &str, wire| Outgoing {
            name: name.to_owned(),
            wire,
            required: false,
            native: "int".to_owned(),
            is_new: false,
        };
        Target {
            plan: Plan {
                dialect: Dialect::Backtick,
                path: "`d`.`t`".to_owned(),
                columns: vec![
                    column("id", Kind::Int(DataType::Int64)),
                    column("a`b", Kind::Bytes(None)),
                ],
                create: None,
            },
            has_other_indexes,
        }
    }

    #[test]
    fn rows_are_brought_over_by_keys() {
        let server = Server {
            form: Form::Lines,
            piece: PIECE,
            collation: "utf8mb4_bin",
        };
        let write = |mode| Write::new(StreamId::from_parts(["t"]), mode).by(&["id"]);
        for (others, mode, statements) in [
            (
                false,
                WriteMode::Upsert,
                &["ON DUPLICATE KEY UPDATE `d`.`t`.`a``b` = VALUES(`a``b`)"][..],
            ),
            (
                false,
                WriteMode::Ignore,
                &["ON DUPLICATE KEY UPDATE `d`.`t`.`id` = `d`.`t`.`id`"],
            ),
            (
                true,
                WriteMode::Upsert,
                &["SET x.`a``b` = d.`a``b`", "WHERE x.`id` = d.`id`)"],
            ),
            (true, WriteMode::Ignore, &["WHERE x.`id` = d.`id`)"]),
        ] {
            let target = target(others);
            let stage = Stage::of(&target, "d", &server);
            let made = stage.merge(&target, &write(mode));
            assert_eq!(made.len(), statements.len());
            for (sql, end) in made.iter().zip(statements) {
                assert!(sql.ends_with(end), "{sql}");
            }
            assert!(
                stage
                    .load()
                    .ends_with("(`weir_row`, `id`, @weir_1) SET `a``b` = UNHEX(@weir_1)")
            );
            assert!(
                stage
                    .create
                    .ends_with("SELECT t.`id`, t.`a``b` FROM `d`.`t` AS t LIMIT 0")
            );
        }
    }
}
