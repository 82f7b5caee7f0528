addtask do_x:append_y after z
