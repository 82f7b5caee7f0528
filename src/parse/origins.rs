//! What the program itself sets while it reads metadata: the place and function that release 2.18
//! shows in the history of the variable, so that the output of `bitbake -e` can be compared.
//! Variables whose name starts with two underscores appear in no output and have none.

use hz_data::Origin;

const CONFIG: &str = "cookerdata.py";
pub(crate) const START: Origin = (CONFIG, 253, "__init__");
pub(crate) const WORKER: Origin = (CONFIG, 257, "__init__");
pub(crate) const REREAD: Origin = (CONFIG, 292, "parseBaseConfiguration");
pub(crate) const CURRENT_MC: Origin = (CONFIG, 359, "parseConfigurationFiles");
pub(crate) const TOPDIR: Origin = (CONFIG, 370, "parseConfigurationFiles");
pub(crate) const CACHEDIR: Origin = (CONFIG, 374, "parseConfigurationFiles");
pub(crate) const LAYERDIR: Origin = (CONFIG, 407, "parseConfigurationFiles");
pub(crate) const LAYERDIR_RE: Origin = (CONFIG, 408, "parseConfigurationFiles");
pub(crate) const DEL_COMPAT: Origin = (CONFIG, 424, "parseConfigurationFiles");
pub(crate) const DEL_CORENAMES: Origin = (CONFIG, 428, "parseConfigurationFiles");
pub(crate) const DEL_LAYERDIR_RE: Origin = (CONFIG, 430, "parseConfigurationFiles");
pub(crate) const DEL_LAYERDIR: Origin = (CONFIG, 431, "parseConfigurationFiles");
pub(crate) const COMPAT: Origin = (CONFIG, 433, "parseConfigurationFiles");
pub(crate) const DYNAMIC_FILES: Origin = (CONFIG, 448, "parseConfigurationFiles");
pub(crate) const CORENAMES: Origin = (CONFIG, 469, "parseConfigurationFiles");
pub(crate) const TOPDIR_HERE: Origin = (CONFIG, 480, "parseConfigurationFiles");
pub(crate) const CACHEDIR_HERE: Origin = (CONFIG, 482, "parseConfigurationFiles");
pub(crate) const CONFIG_INCLUDED: Origin = (CONFIG, 506, "parseConfigurationFiles");
pub(crate) const LAYERNAME: Origin = (CONFIG, 513, "_parse_recipe");

pub(crate) const CONF_FILE: Origin = ("ConfHandler.py", 153, "handle");
pub(crate) const CONF_FILE_BACK: Origin = ("ConfHandler.py", 156, "handle");
pub(crate) const RECIPE_FILE: Origin = ("BBHandler.py", 153, "handle");
pub(crate) const RECIPE_FILE_BACK: Origin = ("BBHandler.py", 171, "handle");

const STATEMENT: &str = "ast.py";
pub(crate) const EXPORT: Origin = (STATEMENT, 67, "eval");
pub(crate) const FUNCTION_NOT_PYTHON: Origin = (STATEMENT, 194, "eval");
pub(crate) const FUNCTION_NOT_FAKEROOT: Origin = (STATEMENT, 195, "eval");
pub(crate) const FUNCTION_PYTHON: Origin = (STATEMENT, 197, "eval");
pub(crate) const FUNCTION_FAKEROOT: Origin = (STATEMENT, 199, "eval");
pub(crate) const FUNCTION_FUNC: Origin = (STATEMENT, 200, "eval");
pub(crate) const FUNCTION_BODY: Origin = (STATEMENT, 201, "eval");
pub(crate) const FUNCTION_FILE: Origin = (STATEMENT, 202, "eval");
pub(crate) const FUNCTION_LINE: Origin = (STATEMENT, 203, "eval");
pub(crate) const DEF_FUNC: Origin = (STATEMENT, 218, "eval");
pub(crate) const DEF_PYTHON: Origin = (STATEMENT, 219, "eval");
pub(crate) const DEF_BODY: Origin = (STATEMENT, 220, "eval");
pub(crate) const DEF_FILE: Origin = (STATEMENT, 221, "eval");
pub(crate) const DEF_LINE: Origin = (STATEMENT, 222, "eval");
pub(crate) const EXPORTED_NOT_PYTHON: Origin = (STATEMENT, 241, "eval");
pub(crate) const EXPORTED_NOT_FUNC: Origin = (STATEMENT, 242, "eval");
pub(crate) const EXPORTED_KIND: Origin = (STATEMENT, 246, "eval");
pub(crate) const EXPORTED_FLAG: Origin = (STATEMENT, 249, "eval");
pub(crate) const EXPORTED_FILE: Origin = (STATEMENT, 250, "eval");
pub(crate) const EXPORTED_LINE: Origin = (STATEMENT, 251, "eval");
pub(crate) const EXPORTED_PYTHON: Origin = (STATEMENT, 254, "eval");
pub(crate) const EXPORTED_SHELL: Origin = (STATEMENT, 258, "eval");
pub(crate) const HANDLER: Origin = (STATEMENT, 291, "eval");
pub(crate) const FRAGMENT_FLAG: Origin = (STATEMENT, 427, "eval");
pub(crate) const FRAGMENT_VALUE: Origin = (STATEMENT, 428, "eval");
pub(crate) const DEPENDS: Origin = (STATEMENT, 505, "handleVirtRecipeProviders");
pub(crate) const TASK_DEPENDS: Origin = (STATEMENT, 514, "handleVirtRecipeProviders");
pub(crate) const RECIPE_INCLUDED: Origin = (STATEMENT, 557, "finalize");
pub(crate) const EXTEND_CLASS: Origin = (STATEMENT, 619, "extendfunc");
pub(crate) const EXTEND_VARIANT: Origin = (STATEMENT, 620, "extendfunc");
pub(crate) const EXTEND_NAME: Origin = (STATEMENT, 622, "extendfunc");
pub(crate) const EXTENDED: Origin = (STATEMENT, 625, "multi_finalize");

const TASK: &str = "build.py";
pub(crate) const TASK_COMPLETE: Origin = (TASK, 895, "add_tasks");
pub(crate) const TASK_DEPS: Origin = (TASK, 933, "add_tasks");
pub(crate) const ADD_TASK: Origin = (TASK, 943, "addtask");
pub(crate) const ADD_TASK_DEPS: Origin = (TASK, 956, "addtask");
pub(crate) const ADD_TASK_BEFORE: Origin = (TASK, 963, "addtask");
pub(crate) const DEL_TASK: Origin = (TASK, 971, "deltask");
pub(crate) const DEL_TASK_DEPS: Origin = (TASK, 974, "deltask");
pub(crate) const DEL_TASK_OTHER: Origin = (TASK, 979, "deltask");

pub(crate) const PRIORITIZED: Origin = ("cooker.py", 1852, "collect_bbfiles");
