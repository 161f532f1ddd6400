-- Resource policies: of a function (qualifier ""), of a version or of an alias.

CREATE TABLE function_policies (
    account TEXT NOT NULL,
    region TEXT NOT NULL,
    name TEXT NOT NULL,
    qualifier TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (account, region, name, qualifier)
) WITHOUT ROWID;
