// Uniqueness of the key of every label in the shipped mappings. kgrecall creates these itself when a schema is applied;
// run this file to prepare a database before. For a mapping of your own, add one line per label.
CREATE CONSTRAINT user_id IF NOT EXISTS FOR (n:User) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT item_id IF NOT EXISTS FOR (n:Item) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT movie_id IF NOT EXISTS FOR (n:Movie) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT brand_id IF NOT EXISTS FOR (n:Brand) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT category_id IF NOT EXISTS FOR (n:Category) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT genre_id IF NOT EXISTS FOR (n:Genre) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT tag_id IF NOT EXISTS FOR (n:Tag) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT occupation_id IF NOT EXISTS FOR (n:Occupation) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT entity_id IF NOT EXISTS FOR (n:Entity) REQUIRE n.id IS UNIQUE;

// kgrecall's own bookkeeping: the schema and the write counters.
CREATE CONSTRAINT kgrecall_meta IF NOT EXISTS FOR (n:_KGRecall) REQUIRE n.id IS UNIQUE;
CREATE CONSTRAINT kgrecall_lane IF NOT EXISTS FOR (n:_KGRecallLane) REQUIRE n.id IS UNIQUE;
